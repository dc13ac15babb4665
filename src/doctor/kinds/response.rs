//! What a response can have that is no feed, or none that every reader takes.

use super::{
    kind::{FeedReader, FindingKind, Severity},
    of_kinds,
};

of_kinds! {
    NO_RESPONSE: "no-response", Breaks, [],
        "The server takes the connection and answers nothing",
        "Look at the server's log; a camera with one connection may be busy.";
    NOT_HTTP: "not-http", Breaks, [],
        "The server speaks something other than HTTP/1", "Use its HTTP port, and https:// where it speaks TLS.";
    CERTIFICATE: "certificate", Breaks, [],
        "The server's certificate is not believed", "Renew it, or name it with --upstream-ca.";
    TLS: "tls", Breaks, [],
        "TLS does not come about", "Use http:// if the port has no TLS, and TLS 1.2 or newer if it has.";
    HEAD_BROKEN: "head-broken", Breaks, [Strict],
        "The head of the response cannot be read", "Write it as RFC 9112 has it.";
    LENGTH_INVALID: "content-length-invalid", Breaks, [Strict],
        "The Content-Length of the response is no number, or contradicts another", "A feed has no end: leave Content-Length out.";
    LENGTH_REPEATED: "content-length-twice", Breaks, [Strict],
        "The response has Content-Length twice", "A feed has no end: leave Content-Length out.";
    LENGTH_ON_STREAM: "content-length-on-feed", Degrades, [],
        "The response has a Content-Length, and readers stop after so many bytes", "A feed has no end: leave Content-Length out.";
    HEAD_MALFORMED: "head-malformed", Breaks, [Strict],
        "A line of the response's head is no header as RFC 9112 has it", "Write each header as Name: value on one line.";
    HEAD_LF: "head-lf", Note, [],
        "The lines of the response's head end in LF alone", "End them with CRLF.";
    CHUNKED: "chunked", Breaks, [MotionEye, Clients],
        "The response is chunked, which older clients do not read",
        "Send it without Content-Length and close the connection at the end.";
    COMPRESSED: "compressed-unasked", Breaks, [Strict],
        "The response is compressed, though nobody has asked for that", "Compress only where Accept-Encoding says so.";
    CACHEABLE: "cacheable", Note, [],
        "Nothing forbids a cache to keep the response", "Send Cache-Control: no-store.";
    MAY_BE_BUFFERED: "may-be-buffered", Note, [],
        "nginx in front would hold small parts back for seconds", "Send X-Accel-Buffering: no.";
    REDIRECTED: "redirected", Note, [],
        "The URL leads to another one, which not every player follows", "Give players the last URL.";
    REDIRECT_BROKEN: "redirect-broken", Breaks, [],
        "The redirects lead nowhere", "Mend the Location, or give the last URL.";
    PASSWORD_ASKED: "password-asked", Breaks, [],
        "The server asks for a password", "Give it as http://user:password@host/ or with --upstream-auth-file.";
    PASSWORD_REFUSED: "password-refused", Breaks, [],
        "The server refuses the user or password", "Check both; cameras lock addresses out that try too often.";
    TOKEN_ASKED: "token-asked", Breaks, [],
        "The server asks for a token, or refuses the one that it got", "Give it with --upstream-header, or as the server has it in its URL.";
    CHALLENGE_MISSING: "challenge-missing", Breaks, [],
        "The server answers 401 without a challenge that can be read", "Send WWW-Authenticate with it.";
    CHALLENGE_UNKNOWN: "challenge-unknown", Breaks, [],
        "The server asks for a way of authentication that is not supported", "Set it to Digest or Basic.";
    FORBIDDEN: "forbidden", Breaks, [],
        "The server answers 403", "Check its rules: address, user, token, Host.";
    NOT_FOUND: "not-found", Breaks, [],
        "There is nothing at this path", "Look up the path of the stream in the server's manual.";
    UNAVAILABLE: "unavailable", Breaks, [],
        "The server has no stream to give", "Wait, or look at its log: it may be full, or have no picture yet.";
    BAD_STATUS: "bad-status", Breaks, [],
        "The status of the response is not 200", "Look at the server's log.";
    EMPTY_RESPONSE: "empty-response", Breaks, [],
        "The response has no body", "Look at the server's log.";
    HTML_PAGE: "html-page", Breaks, [],
        "The response is a web page, such as that of a login, and no feed", "Look in the page for the URL of its picture.";
    PLAIN_PICTURE: "plain-picture", Degrades, [],
        "The response is one picture and no feed", "mxr relay asks for it again and again; or find the URL of the stream.";
    PLAIN_TEXT: "plain-text", Degrades, [],
        "The response is plain text and no feed", "mxr relay makes a feed of its lines.";
    NOT_A_FEED: "not-a-feed", Breaks, [],
        "The response is neither a feed nor a picture", "Find the URL that answers multipart/x-mixed-replace.";
    NOT_REPLACE: "not-x-mixed-replace", Degrades, [],
        "The type of the response is not multipart/x-mixed-replace, which an <img> needs", "Send that type.";
    TYPE_NOT_MULTIPART: "type-not-multipart", Breaks, [Strict],
        "The body is multipart, and Content-Type does not say so", "Send Content-Type: multipart/x-mixed-replace; boundary=B.";
}
