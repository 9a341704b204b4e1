"""The functions of include/requests_futures.h that rf.py uses, with their types.

Every handle is a c_void_p: ctypes would take a type that is left out for an int of 32 bits. What is borrowed
together with a length is a c_void_p as well, because c_char_p would end at the first NUL.
"""
import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint8, c_uint16, c_uint32
from ctypes import c_void_p

DROP_FN = ctypes.CFUNCTYPE(None, c_void_p)
READ_FN = ctypes.CFUNCTYPE(c_int64, POINTER(c_uint8), c_size_t, c_void_p)
PREPARE_FN = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
REWIND_FN = ctypes.CFUNCTYPE(c_int, c_void_p)
RESOLVE_FN = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_uint16, c_void_p)


class CookieView(ctypes.Structure):
    """rf_cookie."""
    _fields_ = [("name", c_char_p), ("value", c_char_p), ("domain", c_char_p), ("path", c_char_p),
                ("expires_s", c_int64), ("secure", c_bool), ("http_only", c_bool), ("host_only", c_bool)]


# `out` is where a handle is handed out, `size_out` where a length is.
handle, text, out, size_out = c_void_p, c_char_p, POINTER(c_void_p), POINTER(c_size_t)
text_out = POINTER(c_char_p)

PROTOTYPES = {
    "rf_version": (text, []),
    "rf_status_name": (text, [c_int]),
    "rf_error_kind_name": (text, [c_int]),

    "rf_config_new": (c_int, [out]),
    "rf_config_set_max_workers": (c_int, [handle, c_size_t]),
    "rf_config_set_resolver": (c_int, [handle, RESOLVE_FN, c_void_p, DROP_FN]),
    "rf_config_free": (None, [handle]),
    "rf_lookup_add": (c_int, [handle, text]),
    "rf_session_new": (c_int, [handle, out]),
    "rf_session_update": (c_int, [handle, handle]),
    "rf_session_request": (c_int, [handle, text, text, handle, out]),
    "rf_session_get": (c_int, [handle, text, handle, out]),
    "rf_session_options": (c_int, [handle, text, handle, out]),
    "rf_session_head": (c_int, [handle, text, handle, out]),
    "rf_session_post": (c_int, [handle, text, handle, out]),
    "rf_session_put": (c_int, [handle, text, handle, out]),
    "rf_session_patch": (c_int, [handle, text, handle, out]),
    "rf_session_delete": (c_int, [handle, text, handle, out]),
    "rf_session_cookies": (c_int, [handle, out]),
    "rf_session_set_cookie": (c_int, [handle, text, text]),
    "rf_session_clear_cookies": (c_int, [handle, text, text]),
    "rf_session_close": (c_int, [handle, c_int]),
    "rf_session_free": (None, [handle]),

    "rf_options_new": (c_int, [out]),
    "rf_options_free": (None, [handle]),
    "rf_options_set_header": (c_int, [handle, text, text]),
    "rf_options_add_header": (c_int, [handle, text, text]),
    "rf_options_add_param": (c_int, [handle, text, text]),
    "rf_options_set_query": (c_int, [handle, text]),
    "rf_options_set_body": (c_int, [handle, c_void_p, c_size_t]),
    "rf_options_set_body_file": (c_int, [handle, text]),
    "rf_options_set_body_reader": (c_int, [handle, READ_FN, REWIND_FN, c_int64, c_void_p, DROP_FN]),
    "rf_options_set_json": (c_int, [handle, text]),
    "rf_options_add_form": (c_int, [handle, text, text]),
    "rf_options_add_part": (c_int, [handle, text, text, text, c_void_p, c_size_t]),
    "rf_options_add_file": (c_int, [handle, text, text, text]),
    "rf_options_add_file_as": (c_int, [handle, text, text, text, text]),
    "rf_options_add_part_reader": (c_int, [handle, text, text, text, READ_FN, REWIND_FN, c_int64, c_void_p, DROP_FN]),
    "rf_options_set_cookie": (c_int, [handle, text, text]),
    "rf_options_set_auth_basic": (c_int, [handle, text, text]),
    "rf_options_set_auth_digest": (c_int, [handle, text, text]),
    "rf_options_set_auth_bearer": (c_int, [handle, text]),
    "rf_options_set_auth_none": (c_int, [handle]),
    "rf_options_set_auth_custom": (c_int, [handle, PREPARE_FN, c_void_p, c_bool, c_void_p, DROP_FN]),

    "rf_prepared_method": (text, [handle]),
    "rf_prepared_url": (text, [handle]),
    "rf_prepared_set_header": (c_int, [handle, text, text]),
    "rf_prepared_read_body": (c_int, [handle, c_void_p, c_size_t, size_out]),
    "rf_prepared_fail": (c_int, [handle, text]),

    "rf_options_set_timeout": (c_int, [handle, c_int64, c_int64]),
    "rf_options_set_allow_redirects": (c_int, [handle, c_bool]),
    "rf_options_set_max_redirects": (c_int, [handle, c_uint32]),
    "rf_options_set_retry": (c_int, [handle, handle]),
    "rf_adapter_new_http": (c_int, [handle, out]),
    "rf_adapter_free": (None, [handle]),
    "rf_session_mount": (c_int, [handle, text, handle]),
    "rf_config_set_max_retries": (c_int, [handle, c_uint32]),
    "rf_retry_new": (c_int, [c_uint32, out]),
    "rf_retry_set_connect": (c_int, [handle, c_uint32]),
    "rf_retry_set_read": (c_int, [handle, c_uint32]),
    "rf_retry_set_status": (c_int, [handle, c_uint32]),
    "rf_retry_add_status": (c_int, [handle, c_int, c_int]),
    "rf_retry_set_methods": (c_int, [handle, text]),
    "rf_retry_set_retry_after": (c_int, [handle, c_bool, c_int64]),
    "rf_retry_set_raise_on_status": (c_int, [handle, c_bool]),
    "rf_retry_set_backoff": (c_int, [handle, c_int64, c_int64, c_double]),
    "rf_retry_free": (None, [handle]),
    "rf_options_set_proxy": (c_int, [handle, text, text]),
    "rf_options_set_trust_env": (c_int, [handle, c_bool]),
    "rf_options_set_verify": (c_int, [handle, c_bool]),
    "rf_options_set_ca_bundle": (c_int, [handle, text]),
    "rf_options_set_ca_pem": (c_int, [handle, c_void_p, c_size_t]),
    "rf_options_set_cert": (c_int, [handle, text, text]),
    "rf_options_set_cert_pem": (c_int, [handle, c_void_p, c_size_t, c_void_p, c_size_t]),
    "rf_options_set_cert_pkcs12": (c_int, [handle, text, text]),
    "rf_options_set_key_password": (c_int, [handle, text]),
    "rf_options_set_tls_versions": (c_int, [handle, c_int, c_int]),
    "rf_options_set_pinned_keys": (c_int, [handle, text]),
    "rf_options_set_server_name": (c_int, [handle, text]),
    "rf_options_set_ip_version": (c_int, [handle, c_int]),
    "rf_options_set_local_address": (c_int, [handle, text]),
    "rf_options_set_keepalive": (c_int, [handle, c_int64, c_int64, c_int]),
    "rf_options_set_no_proxy": (c_int, [handle, text]),
    "rf_options_set_stream": (c_int, [handle, c_bool]),
    "rf_options_set_decode": (c_int, [handle, c_bool]),
    "rf_options_set_raise_for_status": (c_int, [handle, c_bool]),
    "rf_options_set_expect_continue": (c_int, [handle, c_int64]),
    "rf_options_set_output_file": (c_int, [handle, text]),
    "rf_options_set_output_mode": (c_int, [handle, c_int]),
    "rf_options_set_resolve": (c_int, [handle, text, c_uint16, text]),

    "rf_future_result": (c_int, [handle, c_int64, out]),
    "rf_future_exception": (c_int, [handle, c_int64, out]),
    "rf_future_abort": (c_bool, [handle]),
    "rf_future_free": (None, [handle]),

    "rf_response_status_code": (c_int, [handle]),
    "rf_response_reason": (text, [handle]),
    "rf_response_url": (text, [handle]),
    "rf_response_ok": (c_bool, [handle]),
    "rf_response_is_redirect": (c_bool, [handle]),
    "rf_response_is_permanent_redirect": (c_bool, [handle]),
    "rf_response_header": (text, [handle, text]),
    "rf_response_header_count": (c_size_t, [handle]),
    "rf_response_header_at": (c_int, [handle, c_size_t, text_out, text_out]),
    "rf_response_content": (c_void_p, [handle, size_out]),
    "rf_response_text": (c_void_p, [handle, size_out]),
    "rf_response_encoding": (text, [handle]),
    "rf_response_set_encoding": (c_int, [handle, text]),
    "rf_response_apparent_encoding": (text, [handle]),
    "rf_response_json": (c_int, [handle, out, out]),
    "rf_response_raise_for_status": (c_int, [handle, out]),
    "rf_response_elapsed_us": (c_int64, [handle]),
    "rf_response_history_count": (c_size_t, [handle]),
    "rf_response_history_at": (c_void_p, [handle, c_size_t]),
    "rf_response_cookies": (c_int, [handle, out]),
    "rf_response_link": (text, [handle, text]),
    "rf_response_request_method": (text, [handle]),
    "rf_response_request_url": (text, [handle]),
    "rf_response_request_header_count": (c_size_t, [handle]),
    "rf_response_request_header_at": (c_int, [handle, c_size_t, text_out, text_out]),
    "rf_response_request_body": (c_void_p, [handle, size_out]),
    "rf_response_read": (c_int, [handle, c_void_p, c_size_t, size_out, out]),
    "rf_response_read_line": (c_int, [handle, out, size_out, out]),
    "rf_response_close": (c_int, [handle]),
    "rf_response_clone": (c_int, [handle, out]),
    "rf_response_free": (None, [handle]),

    "rf_cookies_count": (c_size_t, [handle]),
    "rf_cookies_at": (c_int, [handle, c_size_t, POINTER(CookieView)]),
    "rf_cookies_free": (None, [handle]),

    "rf_json_kind_of": (c_int, [handle]),
    "rf_json_size": (c_size_t, [handle]),
    "rf_json_at": (c_void_p, [handle, c_size_t]),
    "rf_json_key_at": (c_void_p, [handle, c_size_t, size_out]),
    "rf_json_string": (c_void_p, [handle, size_out]),
    "rf_json_number": (c_double, [handle]),
    "rf_json_number_text": (c_void_p, [handle, size_out]),
    "rf_json_bool": (c_bool, [handle]),

    "rf_error_kind_of": (c_int, [handle]),
    "rf_error_is": (c_bool, [handle, c_int]),
    "rf_error_message": (text, [handle]),
    "rf_error_url": (text, [handle]),
    "rf_error_response": (c_void_p, [handle]),
    "rf_error_os_code": (c_int, [handle]),
}


def declare(library):
    """Gives the functions of a loaded library their types."""
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
