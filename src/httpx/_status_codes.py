"""
Status codes by name, and the reason phrase of each.

    codes.NOT_FOUND == codes.not_found == 404
    codes.is_error(404) is True
    codes.get_reason_phrase(404) == "Not Found"

Names and phrases are those of httpx 0.28.1 ("Request Entity Too Large", not "Content Too Large"), because tests compare
them. Four of them have other names in RFC 9110, which are aliases: `codes.CONTENT_TOO_LARGE is
codes.REQUEST_ENTITY_TOO_LARGE`. A phrase is its name in title case; a table lists the few exceptions.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import ClassVar


class codes(IntEnum):
    """
    An `IntEnum` of the registered status codes.

    Each member has a lower-case alias, a plain `int`: `codes.ok` is 200. The `is_...` methods take any number, not
    only members, and look at its first digit (RFC 9110, section 15): 299 is a success, 600 is in no class.
    """

    # 1xx: RFC 9110; 102 RFC 2518; 103 RFC 8297
    CONTINUE = 100
    SWITCHING_PROTOCOLS = 101
    PROCESSING = 102
    EARLY_HINTS = 103

    # 2xx: RFC 9110; 207 RFC 4918; 208 RFC 5842; 226 RFC 3229
    OK = 200
    CREATED = 201
    ACCEPTED = 202
    NON_AUTHORITATIVE_INFORMATION = 203
    NO_CONTENT = 204
    RESET_CONTENT = 205
    PARTIAL_CONTENT = 206
    MULTI_STATUS = 207
    ALREADY_REPORTED = 208
    IM_USED = 226

    # 3xx: RFC 9110
    MULTIPLE_CHOICES = 300
    MOVED_PERMANENTLY = 301
    FOUND = 302
    SEE_OTHER = 303
    NOT_MODIFIED = 304
    USE_PROXY = 305
    TEMPORARY_REDIRECT = 307
    PERMANENT_REDIRECT = 308

    # 4xx: RFC 9110; 418 RFC 2324; 423 and 424 RFC 4918; 425 RFC 8470; 428, 429, 431 RFC 6585; 451 RFC 7725
    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    PAYMENT_REQUIRED = 402
    FORBIDDEN = 403
    NOT_FOUND = 404
    METHOD_NOT_ALLOWED = 405
    NOT_ACCEPTABLE = 406
    PROXY_AUTHENTICATION_REQUIRED = 407
    REQUEST_TIMEOUT = 408
    CONFLICT = 409
    GONE = 410
    LENGTH_REQUIRED = 411
    PRECONDITION_FAILED = 412
    REQUEST_ENTITY_TOO_LARGE = 413
    REQUEST_URI_TOO_LONG = 414
    UNSUPPORTED_MEDIA_TYPE = 415
    REQUESTED_RANGE_NOT_SATISFIABLE = 416
    EXPECTATION_FAILED = 417
    IM_A_TEAPOT = 418
    MISDIRECTED_REQUEST = 421
    UNPROCESSABLE_ENTITY = 422
    LOCKED = 423
    FAILED_DEPENDENCY = 424
    TOO_EARLY = 425
    UPGRADE_REQUIRED = 426
    PRECONDITION_REQUIRED = 428
    TOO_MANY_REQUESTS = 429
    REQUEST_HEADER_FIELDS_TOO_LARGE = 431
    UNAVAILABLE_FOR_LEGAL_REASONS = 451

    # 5xx: RFC 9110; 506 RFC 2295; 507 RFC 4918; 508 RFC 5842; 510 RFC 2774; 511 RFC 6585
    INTERNAL_SERVER_ERROR = 500
    NOT_IMPLEMENTED = 501
    BAD_GATEWAY = 502
    SERVICE_UNAVAILABLE = 503
    GATEWAY_TIMEOUT = 504
    HTTP_VERSION_NOT_SUPPORTED = 505
    VARIANT_ALSO_NEGOTIATES = 506
    INSUFFICIENT_STORAGE = 507
    LOOP_DETECTED = 508
    NOT_EXTENDED = 510
    NETWORK_AUTHENTICATION_REQUIRED = 511

    # The names of RFC 9110, 15.5, for numbers that have an older name here.
    CONTENT_TOO_LARGE = 413
    URI_TOO_LONG = 414
    RANGE_NOT_SATISFIABLE = 416
    UNPROCESSABLE_CONTENT = 422

    # The lower-case aliases, for type checkers; they are made below.
    if TYPE_CHECKING:
        switching_protocols: ClassVar[int]
        processing: ClassVar[int]
        early_hints: ClassVar[int]
        ok: ClassVar[int]
        created: ClassVar[int]
        accepted: ClassVar[int]
        non_authoritative_information: ClassVar[int]
        no_content: ClassVar[int]
        reset_content: ClassVar[int]
        partial_content: ClassVar[int]
        multi_status: ClassVar[int]
        already_reported: ClassVar[int]
        im_used: ClassVar[int]
        multiple_choices: ClassVar[int]
        moved_permanently: ClassVar[int]
        found: ClassVar[int]
        see_other: ClassVar[int]
        not_modified: ClassVar[int]
        use_proxy: ClassVar[int]
        temporary_redirect: ClassVar[int]
        permanent_redirect: ClassVar[int]
        bad_request: ClassVar[int]
        unauthorized: ClassVar[int]
        payment_required: ClassVar[int]
        forbidden: ClassVar[int]
        not_found: ClassVar[int]
        method_not_allowed: ClassVar[int]
        not_acceptable: ClassVar[int]
        proxy_authentication_required: ClassVar[int]
        request_timeout: ClassVar[int]
        conflict: ClassVar[int]
        gone: ClassVar[int]
        length_required: ClassVar[int]
        precondition_failed: ClassVar[int]
        request_entity_too_large: ClassVar[int]
        request_uri_too_long: ClassVar[int]
        unsupported_media_type: ClassVar[int]
        requested_range_not_satisfiable: ClassVar[int]
        expectation_failed: ClassVar[int]
        im_a_teapot: ClassVar[int]
        misdirected_request: ClassVar[int]
        unprocessable_entity: ClassVar[int]
        locked: ClassVar[int]
        failed_dependency: ClassVar[int]
        too_early: ClassVar[int]
        upgrade_required: ClassVar[int]
        precondition_required: ClassVar[int]
        too_many_requests: ClassVar[int]
        request_header_fields_too_large: ClassVar[int]
        unavailable_for_legal_reasons: ClassVar[int]
        internal_server_error: ClassVar[int]
        not_implemented: ClassVar[int]
        bad_gateway: ClassVar[int]
        service_unavailable: ClassVar[int]
        gateway_timeout: ClassVar[int]
        http_version_not_supported: ClassVar[int]
        variant_also_negotiates: ClassVar[int]
        insufficient_storage: ClassVar[int]
        loop_detected: ClassVar[int]
        not_extended: ClassVar[int]
        network_authentication_required: ClassVar[int]
        content_too_large: ClassVar[int]
        uri_too_long: ClassVar[int]
        range_not_satisfiable: ClassVar[int]
        unprocessable_content: ClassVar[int]

    # The number in every Python version: before 3.11 `str` of an IntEnum is "codes.OK".
    def __str__(self) -> str:
        return str(int(self))

    def __format__(self, format_spec: str) -> str:
        return format(int(self), format_spec)

    @classmethod
    def get_reason_phrase(cls, value: int) -> str:
        """Return the reason phrase of `value`, such as "Not Found"; "" if the number is not registered."""
        return _PHRASES.get(value, "")

    @classmethod
    def is_informational(cls, value: int) -> bool:
        """Return whether `value` is 100 to 199."""
        return value // 100 == 1

    @classmethod
    def is_success(cls, value: int) -> bool:
        """Return whether `value` is 200 to 299."""
        return value // 100 == 2

    @classmethod
    def is_redirect(cls, value: int) -> bool:
        """Return whether `value` is 300 to 399."""
        return value // 100 == 3

    @classmethod
    def is_client_error(cls, value: int) -> bool:
        """Return whether `value` is 400 to 499."""
        return value // 100 == 4

    @classmethod
    def is_server_error(cls, value: int) -> bool:
        """Return whether `value` is 500 to 599."""
        return value // 100 == 5

    @classmethod
    def is_error(cls, value: int) -> bool:
        """Return whether `value` is 400 to 599."""
        return value // 100 in (4, 5)


_IRREGULAR = {
    codes.OK: "OK",
    codes.NON_AUTHORITATIVE_INFORMATION: "Non-Authoritative Information",
    codes.MULTI_STATUS: "Multi-Status",
    codes.IM_USED: "IM Used",
    codes.REQUEST_URI_TOO_LONG: "Request-URI Too Long",
    codes.IM_A_TEAPOT: "I'm a teapot",
    codes.HTTP_VERSION_NOT_SUPPORTED: "HTTP Version Not Supported",
}

_PHRASES = {int(code): _IRREGULAR.get(code) or code.name.replace("_", " ").title() for code in codes}

for _name, _code in codes.__members__.items():
    setattr(codes, _name.lower(), int(_code))
