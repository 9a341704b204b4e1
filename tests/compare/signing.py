"""Authentication of one's own, said once for both sides: from a request as it goes out to the headers that it gains."""
from __future__ import annotations

import datetime
import zlib
from urllib.parse import urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
# The same for both, so that the signatures are.
botocore.auth.get_current_datetime = lambda *_: datetime.datetime(2015, 8, 30, 12, 36)


def own(method, url, body):
    """A check sum over all of it."""
    target = urlsplit(url)
    text = "%s %s?%s %d" % (method, target.path, target.query, zlib.crc32(body))
    return [("Authorization", "Own " + text.replace(" ", "/"))]


def sigv4(method, url, body):
    """AWS Signature Version 4, as botocore makes it."""
    request = AWSRequest(method, url, data=body)
    botocore.auth.SigV4Auth(CREDENTIALS, "service", "us-east-1").add_auth(request)
    return [(name, request.headers[name]) for name in ("X-Amz-Date", "Authorization")]


KINDS = {"own": own, "sigv4": sigv4}
