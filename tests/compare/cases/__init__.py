"""The cases, by what they are about. A case is named GROUP/WHAT."""
from cases import answers, auth, bodies, cookies, downloads, expecting, failures, headers, mounts, odd, params
from cases import proxies, reach, redirects, retries, streams, urls, verbs

CASES = [
    case for module in (verbs, urls, params, headers, bodies, redirects, cookies, auth, answers, streams,
                        failures, odd, proxies, reach, retries, mounts, downloads, expecting) for case in module.CASES
]

_names = [case.name for case in CASES]
assert len(set(_names)) == len(_names), "two cases have one name: %s" % sorted(
    name for name in set(_names) if _names.count(name) > 1)
