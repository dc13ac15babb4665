//! Upstreams in the dialects of the field, in pieces of any size: `mxr relay` passes every part on, byte for byte.

use crate::support::{SOON, Server, Upstream, mxr, wait_until};

/// Two different JPEGs; the second contains a thumbnail.
const ONE: &[u8] = b"\xff\xd8\xff\xda\x00\x02one\xff\x00\xff\xd9";
const TWO: &[u8] = b"\xff\xd8\xff\xe1\x00\x10\xff\xd8\xff\xd9 thumbnail\xff\xda\x00\x02two \xff\xd9";
const XML: &str = "application/xml; charset=\"UTF-8\"";

/// How a sender writes pictures.
struct Dialect {
    name: &'static str,
    content_type: &'static str,
    /// What stands before the first part.
    head: &'static str,
    /// What stands before a picture; `L` is its length, `S` one that is two short, `T` one that is too
    /// long.
    part: &'static str,
    /// What follows each of them.
    after: &'static str,
}

const DIALECTS: &[Dialect] = &[
    Dialect {
        name: "mjpg-streamer, ustreamer",
        content_type: "multipart/x-mixed-replace;boundary=boundarydonotcross",
        head: "--boundarydonotcross\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\nX-Timestamp: 5.066664\r\n\r\n",
        after: "\r\n--boundarydonotcross\r\n",
    },
    Dialect {
        name: "ffmpeg",
        content_type: "multipart/x-mixed-replace;boundary=ffmpeg",
        head: "--ffmpeg\r\n",
        part: "Content-type: image/jpeg\r\nContent-length: L\r\n\r\n",
        after: "\r\n--ffmpeg\r\n",
    },
    Dialect {
        name: "no length",
        content_type: "multipart/x-mixed-replace; boundary=frame",
        head: "--frame\r\n",
        part: "Content-Type: image/jpeg\r\n\r\n",
        after: "\r\n--frame\r\n",
    },
    Dialect {
        name: "no first delimiter",
        content_type: "multipart/x-mixed-replace;boundary=123456789000000000000987654321",
        head: "",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n--123456789000000000000987654321\r\n",
    },
    Dialect {
        name: "a line end before the first delimiter",
        content_type: "multipart/x-mixed-replace; boundary=ThisRandomString",
        head: "\r\n--ThisRandomString\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n--ThisRandomString\r\n",
    },
    Dialect {
        name: "padded lengths",
        content_type: "multipart/x-mixed-replace; boundary=BoundaryString",
        head: "--BoundaryString\r\n",
        part: "Content-type: image/jpeg\r\nContent-Length:        L\r\n\r\n",
        after: "\r\n--BoundaryString\r\n",
    },
    Dialect {
        name: "mixed line ends",
        content_type: "multipart/x-mixed-replace;boundary=ZoneMinderFrame",
        head: "--ZoneMinderFrame\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n\r\n--ZoneMinderFrame\n",
    },
    Dialect {
        name: "the boundary has the dashes already",
        content_type: "multipart/x-mixed-replace; boundary=--BoundaryString",
        head: "--BoundaryString\r\n",
        part: "Content-type: image/jpg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n\r\n--BoundaryString\r\n",
    },
    Dialect {
        name: "dashes doubled",
        content_type: "multipart/x-mixed-replace; boundary=--B",
        head: "----B\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n----B\r\n",
    },
    Dialect {
        name: "dashes left out",
        content_type: "multipart/x-mixed-replace; boundary=B-without",
        head: "B-without\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\nB-without\r\n",
    },
    Dialect {
        name: "a boundary that ends as a close-delimiter, lengths that are two short",
        content_type: "multipart/x-mixed-replace; boundary=\"--video boundary--\"",
        head: "",
        part: "Content-length: S\r\nDate: 03-28-2025 12:32:19 AM IO_00000000_PT_191_010\r\nContent-type: image/jpeg\r\n\r\n",
        after: "\r\n\r\n--video boundary--\r\n",
    },
    Dialect {
        name: "no line end after the delimiter",
        content_type: "multipart/x-mixed-replace; boundary=--jpgboundary",
        head: "--jpgboundary",
        part: "Content-type: image/jpeg\r\nContent-length: L\r\n\r\n",
        after: "--jpgboundary",
    },
    Dialect {
        name: "a response in the body",
        content_type: "multipart/x-mixed-replace; boundary=--jpgboundary",
        head: "--jpgboundary\r\n",
        part: "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11\r\nContent-type: image/jpeg\r\n\r\n",
        after: "--jpgboundary\r\n",
    },
    Dialect {
        name: "line feeds alone",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B\n",
        part: "Content-Type: image/jpeg\n\n",
        after: "\n--B\n",
    },
    Dialect {
        name: "a close-delimiter before each part",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B--\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n--B--\r\n",
    },
    Dialect {
        name: "the delimiter twice",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B\r\n--B\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n--B\r\n--B\r\n",
    },
    Dialect {
        name: "two lengths, of which the last is right",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B\r\n",
        part: "Content-Length: 3\r\nContent-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n--B\r\n",
    },
    Dialect {
        name: "lengths that are too long",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: T\r\n\r\n",
        after: "\r\n--B\r\n",
    },
    Dialect {
        name: "blank lines before the headers and before the picture",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B\r\n\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n\r\n",
        after: "\r\n--B\r\n\r\n",
    },
    Dialect {
        name: "no headers at all",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B\r\n",
        part: "\r\n",
        after: "\r\n--B\r\n",
    },
    Dialect {
        name: "a preamble",
        content_type: "multipart/mixed; boundary=\"simple boundary\"",
        head: "This is the preamble. -- \r\n--simple boundary\r\n",
        part: "Content-Type: image/jpeg\r\n\r\n",
        after: "\r\n--simple boundary  \r\n",
    },
    Dialect {
        name: "headers that are folded, unknown or malformed",
        content_type: "multipart/x-mixed-replace; boundary=B",
        head: "--B\r\n",
        part: "X-Long: a\r\n  folded\r\nnonsense\r\nContent-Type : image/jpeg\r\n: x\r\n\r\n",
        after: "\r\n--B\r\n",
    },
    Dialect {
        name: "no boundary told",
        content_type: "multipart/x-mixed-replace",
        head: "--whatever\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n--whatever\r\n",
    },
    Dialect {
        name: "another boundary than told",
        content_type: "multipart/x-mixed-replace; boundary=told",
        head: "--other\r\n",
        part: "Content-Type: image/jpeg\r\nContent-Length: L\r\n\r\n",
        after: "\r\n--other\r\n",
    },
    Dialect { name: "pictures one after the other", content_type: "video/x-motion-jpeg", head: "", part: "", after: "" },
];

/// The picture of this number, each another one.
fn picture(number: usize) -> Vec<u8> {
    let picture = if number.is_multiple_of(2) { ONE } else { TWO };
    let end = picture.len() - 2;
    [&picture[..end], format!("number {number}").as_bytes(), &picture[end..]].concat()
}

impl Dialect {
    fn bytes(&self, pictures: usize) -> Vec<u8> {
        let mut bytes = self.head.as_bytes().to_vec();
        for picture in (0..pictures).map(picture) {
            let part = self.part.replace("Length: L", &format!("Length: {}", picture.len()));
            let part = part.replace("length: L", &format!("length: {}", picture.len()));
            let part = part.replace("length: S", &format!("length: {}", picture.len() - 2));
            let part = part.replace("Length: T", &format!("Length: {}", picture.len() + 20));
            let part = part.replace("Length:        L", &format!("Length:        {}", picture.len()));
            bytes.extend(part.bytes());
            bytes.extend(picture);
            bytes.extend(self.after.bytes());
        }
        bytes
    }
}

/// A relay of these bytes that keeps 50 parts.
fn relay(content_type: &str, bytes: Vec<u8>, longest: usize, is_chunked: bool) -> (Server, Upstream) {
    let content_type = content_type.to_owned();
    let upstream = Upstream::serve(move |mut asked| {
        if is_chunked {
            asked.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"));
            for chunk in bytes.chunks(longest) {
                asked.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
        } else {
            asked.begin(&content_type);
            asked.send_in_pieces(&bytes, longest, longest as u64);
        }
        asked.hang();
    });
    let server = mxr(["relay", &upstream.url("/video"), "--always", "--history", "50"]).start();
    (server, upstream)
}

/// Expects these parts, which are all that come.
#[track_caller]
fn expect_parts(server: &Server, expected: &[(&str, Vec<u8>)], what: &str) {
    let count = expected.len() as u64;
    wait_until(&format!("{what}: {count} parts are there"), SOON, || {
        server.state()["feeds"][0]["published"].as_u64() >= Some(count)
    });
    let mut viewer = server.view(&format!("/stream?history=50&parts={count}"));
    for (media, body) in expected {
        let part = viewer.part();
        assert_eq!(
            (part.header("Content-Type"), part.body.escape_ascii().to_string()),
            (*media, body.escape_ascii().to_string()),
            "{what}"
        );
    }
    let state = server.state();
    let feed = &state["feeds"][0];
    assert_eq!((feed["published"].as_u64(), feed["refused"].as_u64()), (Some(count), Some(0)), "{what}");
    assert_eq!(feed["source"]["state"], "live", "{what}");
}

#[test]
fn every_part_of_every_dialect_is_passed_on_byte_for_byte() {
    for dialect in DIALECTS {
        let pictures: Vec<_> = (0..9).map(|number| ("image/jpeg", picture(number))).collect();
        for longest in [usize::MAX, 1, 11] {
            let (server, _upstream) = relay(dialect.content_type, dialect.bytes(9), longest, false);
            expect_parts(&server, &pictures, &format!("{} in pieces of at most {longest}", dialect.name));
        }
    }
}

#[test]
fn chunks_of_any_size_are_taken_off_before_parts_are_cut() {
    let dialect = &DIALECTS[0];
    let pictures: Vec<_> = (0..9).map(|number| ("image/jpeg", picture(number))).collect();
    for size in [1, 7, 1460] {
        let (server, _upstream) = relay(dialect.content_type, dialect.bytes(9), size, true);
        expect_parts(&server, &pictures, &format!("chunks of {size}"));
    }
}

#[test]
fn parts_of_other_types_are_passed_on_as_they_are() {
    // The length counts the line end before the delimiter.
    let text = "--boundary\r\nContent-Type: application/xml; charset=\"UTF-8\"\r\nContent-Length: 8\r\n\r\n<a>1</a>--boundary\r\n\
                Content-Type: application/xml; charset=\"UTF-8\"\r\nContent-Length: 10\r\n\r\n<a>2</a>\r\n--boundary\r\n";
    let expected = [(XML, b"<a>1</a>".to_vec()), (XML, b"<a>2</a>\r\n".to_vec())];
    for longest in [usize::MAX, 5] {
        let (server, _upstream) = relay("multipart/x-mixed-replace; boundary=boundary", text.into(), longest, false);
        expect_parts(&server, &expected, "alerts");
    }
}
