//! Streams of real senders, byte for byte, in tests named after them; each is read in pieces of 1, 2 and 7 bytes and as a whole.

mod oddities;

use super::*;

/// Two different JPEGs; the second contains a thumbnail.
const ONE: &[u8] = b"\xff\xd8\xff\xda\x00\x02one\xff\x00\xff\xd9";
const TWO: &[u8] = b"\xff\xd8\xff\xe1\x00\x10\xff\xd8\xff\xd9 thumbnail\xff\xda\x00\x02two \xff\xd9";

type Expected<'a> = &'a [(&'a str, &'a [u8])];

fn decoded(boundary: Option<&str>, bytes: &[u8], read: usize, bounds: Bounds) -> (Vec<Decoded>, u64) {
    let (parts, decoder) = decoded_by(boundary, bytes, read, bounds);
    (parts, decoder.refused())
}

fn decoded_by(boundary: Option<&str>, bytes: &[u8], read: usize, bounds: Bounds) -> (Vec<Decoded>, Decoder) {
    let (mut decoder, mut parts) = (Decoder::new(boundary, bounds), Vec::new());
    bytes.chunks(read).for_each(|data| decoder.push(data, &mut parts));
    decoder.finish(&mut parts);
    (parts, decoder)
}

/// Expects these types and bodies at all read sizes.
#[track_caller]
fn expect_refused(boundary: Option<&str>, bytes: &[u8], bounds: Bounds, expected: Expected<'_>, refused: u64) {
    for read in [bytes.len().max(1), 1, 2, 7] {
        let (parts, decoder) = decoded_by(boundary, bytes, read, bounds);
        let lost = decoder.refused();
        let whole = decoded_by(boundary, bytes, bytes.len().max(1), bounds).1.oddities();
        assert_eq!(decoder.oddities(), whole, "in pieces of {read}");
        let show = |media: &str, body: &[u8]| format!("{media}: {}", body.escape_ascii());
        let got: Vec<_> =
            parts.iter().map(|part| show(part.headers.media.as_ref().map_or("", |media| media.as_str()), &part.body)).collect();
        let wanted: Vec<_> = expected.iter().map(|(media, body)| show(media, body)).collect();
        assert_eq!((got, lost), (wanted, refused), "in pieces of {read}");
    }
}

#[track_caller]
fn expect(boundary: &str, bytes: &[u8], expected: Expected<'_>) {
    expect_refused(Some(boundary), bytes, Bounds::bodies(1000), expected, 0);
}

/// The same with and without a `boundary=` parameter.
#[track_caller]
fn expect_also_unannounced(boundary: &str, bytes: &[u8], expected: Expected<'_>) {
    expect(boundary, bytes, expected);
    expect_refused(None, bytes, Bounds::bodies(1000), expected, 0);
}

/// The text with the bodies filled in for `{}`, in order.
fn bytes(text: &str, bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut bodies = bodies.iter();
    for (at, piece) in text.split("{}").enumerate() {
        if at > 0 {
            bytes.extend_from_slice(bodies.next().expect("a body for each {}"));
        }
        bytes.extend_from_slice(piece.as_bytes());
    }
    bytes
}

const JPEGS: Expected<'static> = &[("image/jpeg", ONE), ("image/jpeg", TWO)];

mod senders {
    use super::*;

    #[test]
    fn mxr() {
        let text = "--mxr-0a\r\nContent-Type: image/jpeg\r\nContent-Length: 13\r\nX-Timestamp: 1764000000.123456\r\nX-Sequence: 1\r\n\r\n{}\r\n\
                    --mxr-0a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\nX-Timestamp: 1764000001.0\r\nX-Sequence: 2\r\n\r\n\
                    \r\na\n\r\n--mxr-0a--\r\n";
        let bytes = bytes(text, &[ONE]);
        expect_also_unannounced("mxr-0a", &bytes, &[("image/jpeg", ONE), ("text/plain; charset=utf-8", b"\r\na\n")]);
        let (parts, _) = decoded(Some("mxr-0a"), &bytes, 7, Bounds::bodies(1000));
        let time =
            |part: &Decoded| part.headers.time.unwrap().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_micros();
        assert_eq!(parts.iter().map(time).collect::<Vec<_>>(), [1_764_000_000_123_456, 1_764_000_001_000_000]);
        assert_eq!(parts.iter().map(|part| part.headers.sequence).collect::<Vec<_>>(), [Some(1), Some(2)]);
    }

    #[test]
    fn mxr_to_an_img_of_chromium() {
        // The headers of the next part come early, without a length.
        let text = "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n{}\r\n--B\r\nContent-Type: image/jpeg\r\n\r\n{}\r\n--B\r\nContent-Type: image/jpeg\r\n\r\n";
        expect_also_unannounced("B", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn ffmpeg_mpjpeg() {
        let text = "--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 13\r\n\r\n{}\r\n--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 30\r\n\r\n{}\r\n--ffmpeg\r\n";
        expect_also_unannounced("ffmpeg", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn mjpg_streamer_and_ustreamer() {
        let text = "--boundarydonotcross\r\nContent-Type: image/jpeg\r\nContent-Length: 13\r\nX-Timestamp: 0.000000\r\n\r\n{}\r\n\
                    --boundarydonotcross\r\nContent-Type: image/jpeg\r\nContent-Length: 30\r\nX-Timestamp: 5.066664\r\n\r\n{}\r\n--boundarydonotcross\r\n";
        expect_also_unannounced("boundarydonotcross", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn flask_after_miguel_grinberg() {
        // No length, and the delimiter comes with the next frame.
        let text = "--frame\r\nContent-Type: image/jpeg\r\n\r\n{}\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n{}\r\n";
        expect_also_unannounced("frame", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn picamera2_mjpeg_server() {
        let text = "--FRAME\r\nContent-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n{}\r\n--FRAME\r\nContent-Type: image/jpeg\r\nContent-Length: 30\r\n\r\n{}\r\n";
        expect_also_unannounced("FRAME", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn older_esp32_camera_web_server() {
        // The delimiter follows the first part instead of leading it.
        let text = "Content-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n{}\r\n--123456789000000000000987654321\r\n\
                    Content-Type: image/jpeg\r\nContent-Length: 30\r\n\r\n{}\r\n--123456789000000000000987654321\r\n";
        expect_also_unannounced("123456789000000000000987654321", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn gstreamer_multipartmux() {
        let text = "\r\n--ThisRandomString\r\nContent-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n{}\r\n--ThisRandomString\r\nContent-Type: image/jpeg\r\nContent-Length: 30\r\n\r\n{}";
        expect_also_unannounced("ThisRandomString", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn motion() {
        // Only the lengths are padded.
        let text = "--BoundaryString\r\nContent-type: image/jpeg\r\nContent-Length:        13\r\n\r\n{}\r\n--BoundaryString\r\nContent-type: image/jpeg\r\nContent-Length:        30\r\n\r\n{}\r\n";
        expect_also_unannounced("BoundaryString", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn zoneminder() {
        // Two line ends after each picture, and once a bare LF after the delimiter.
        let text = "--ZoneMinderFrame\nContent-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n{}\r\n\r\n--ZoneMinderFrame\r\nContent-Type: image/jpeg\r\nContent-Length: 30\r\n\r\n{}\r\n\r\n";
        expect_also_unannounced("ZoneMinderFrame", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn webdriveragent_of_an_iphone() {
        // `boundary=--BoundaryString` for a delimiter with two dashes, `image/jpg`, two line ends.
        let text = "--BoundaryString\r\nContent-type: image/jpg\r\nContent-Length: 13\r\n\r\n{}\r\n\r\n--BoundaryString\r\nContent-type: image/jpg\r\nContent-Length: 30\r\n\r\n{}\r\n\r\n";
        expect_also_unannounced("--BoundaryString", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn d_link_dcs() {
        // A token that ends like a close-delimiter, no first delimiter, a length that is two short.
        let text = "Content-length: 11\r\nDate: 03-28-2025 12:32:19 AM IO_00000000_PT_191_010\r\nContent-type: image/jpeg\r\n\r\n{}\r\n\r\n--video boundary--\r\n\
                    Content-length: 28\r\nDate: 03-28-2025 12:44:58 AM IO_00000000_PT_191_010\r\nContent-type: image/jpeg\r\n\r\n{}\r\n\r\n--video boundary--\r\n";
        expect_also_unannounced("--video boundary--", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn python_2_http_server_with_pil() {
        // No line end after the delimiter, none before it.
        let text = "--jpgboundaryContent-type: image/jpeg\r\nContent-length: 13\r\n\r\n{}--jpgboundaryContent-type: image/jpeg\r\nContent-length: 30\r\n\r\n{}";
        expect_also_unannounced("--jpgboundary", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn python_3_http_server_with_send_response() {
        let text = "--jpgboundary\r\nHTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11\r\nContent-type: image/jpeg\r\n\r\n{}\
                    --jpgboundary\r\nHTTP/1.0 200 OK\r\nContent-type: image/jpeg\r\n\r\n{}";
        expect_also_unannounced("--jpgboundary", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn hikvision_alerts() {
        // Text whose length counts the line end before the delimiter.
        let text = "--boundary\r\nContent-Type: application/xml; charset=\"UTF-8\"\r\nContent-Length: 8\r\n\r\n<a>1</a>--boundary\r\nContent-Type: application/xml; charset=\"UTF-8\"\r\nContent-Length: 10\r\n\r\n<a>2</a>\r\n--boundary\r\n";
        let xml = "application/xml; charset=\"UTF-8\"";
        expect_also_unannounced("boundary", text.as_bytes(), &[(xml, b"<a>1</a>"), (xml, b"<a>2</a>\r\n")]);
    }

    #[test]
    fn an_rfc_2046_writer() {
        // Preamble, nested text, epilogue; a part without a header line.
        let text = "This is the preamble. -- \r\n--simple boundary\r\n\r\nimplicitly typed\r\n--not a delimiter\r\n--simple boundary  \r\nContent-type: text/plain; charset=us-ascii\r\n\r\nexplicitly typed.\r\n\r\n--simple boundary--\r\nThis is the epilogue.\r\n";
        expect(
            "simple boundary",
            text.as_bytes(),
            &[("", b"implicitly typed\r\n--not a delimiter"), ("text/plain; charset=us-ascii", b"explicitly typed.\r\n")],
        );
    }
}

mod dialects {
    use super::*;

    #[test]
    fn bare_line_feeds() {
        let text = "--B\nContent-Type: image/jpeg\n\n{}\n--B\nContent-Type: text/plain\nContent-Length: 3\n\nab\n\n--B--\n";
        expect_also_unannounced("B", &bytes(text, &[TWO]), &[("image/jpeg", TWO), ("text/plain", b"ab\n")]);
    }

    #[test]
    fn dashes_doubled_or_missing() {
        let plain = "--B\r\nContent-Type: text/plain\r\n\r\none\r\n--B\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--B--\r\n";
        for (boundary, dashes) in [("--B", "----B"), ("B", "B"), ("--B", "B"), ("B", "----B"), ("-----B", "-----B")] {
            expect(boundary, plain.replace("--B", dashes).as_bytes(), &[("text/plain", b"one"), ("text/plain", b"two")]);
        }
    }

    #[test]
    fn a_close_delimiter_before_each_part() {
        let text = "--B--\r\nContent-Type: text/plain\r\n\r\none\r\n--B--\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--B--\r\n";
        expect("B", text.as_bytes(), &[("text/plain", b"one"), ("text/plain", b"two")]);
    }

    #[test]
    fn two_streams_one_after_the_other() {
        let text = "--B\r\nContent-Type: text/plain\r\n\r\none\r\n--B--\r\n".repeat(2);
        expect_also_unannounced("B", text.as_bytes(), &[("text/plain", b"one"), ("text/plain", b"one")]);
    }

    #[test]
    fn no_headers_at_all() {
        expect_also_unannounced("B", &bytes("--B\r\n\r\n{}\r\n--B\r\n\r\ntext\r\n--B--", &[ONE]), &[("", ONE), ("", b"text")]);
        expect_also_unannounced("B", &bytes("--B\r\n{}\r\n--B\r\nsome text\r\n--B--", &[ONE]), &[("", ONE), ("", b"some text")]);
    }

    #[test]
    fn blank_lines_before_the_headers_and_before_the_picture() {
        let text = "--B\r\n\r\nContent-Type: image/jpeg\r\n\r\n\r\n{}\r\n--B\r\n\r\nContent-Type: image/jpeg\r\nContent-Length: 30\r\n\r\n\r\n{}\r\n--B\r\n";
        expect_also_unannounced("B", &bytes(text, &[ONE, TWO]), JPEGS);
    }

    #[test]
    fn the_same_delimiter_twice_and_empty_parts() {
        let text = "--B\r\n--B\r\nContent-Type: text/plain\r\n\r\n\r\n--B\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n\r\n--B\r\n\r\n--B\r\nContent-Type: text/plain\r\n\r\none\r\n--B--\r\n";
        expect_also_unannounced("B", text.as_bytes(), &[("text/plain", b"one")]);
    }

    #[test]
    fn a_right_length_lets_a_body_hold_the_delimiter() {
        let text = "--B\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\none\r\n--B\r\n\r\n--B\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\ntwo\r\n--B--\r\n";
        expect_also_unannounced("B", text.as_bytes(), &[("text/plain", b"one\r\n--B\r\n"), ("text/plain", b"two")]);
    }

    #[test]
    fn a_length_that_is_only_told_takes_no_room() {
        let mut decoder = Decoder::new(Some("B"), Bounds::bodies(64 << 20));
        decoder.push(b"--B\r\nContent-Length: 60000000\r\n\r\nx", &mut Vec::new());
        assert!(decoder.buffer.capacity() < 1 << 16, "{}", decoder.buffer.capacity());
    }

    #[test]
    fn lengths_that_are_wrong() {
        for (first, second) in [("3", "2"), ("999", "4"), ("7", "99"), ("-1", "x"), ("5000", "0"), ("18446744073709551616", "1")] {
            let text = format!(
                "--B\r\nContent-Type: text/plain\r\nContent-Length: {first}\r\n\r\nfour\r\n--B\r\nContent-Type: text/plain\r\nContent-Length: {second}\r\n\r\nfive!\r\n--B--\r\n"
            );
            expect_also_unannounced("B", text.as_bytes(), &[("text/plain", b"four"), ("text/plain", b"five!")]);
            let jpegs = text.replace("text/plain", "image/jpeg").replace("four", "{}").replace("five!", "{}");
            expect_also_unannounced("B", &bytes(&jpegs, &[ONE, TWO]), JPEGS);
        }
    }

    #[test]
    fn a_picture_padded_within_its_length() {
        let text = "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 15\r\n\r\n{}\0\0\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: 33\r\n\r\n{}\0\0\0\r\n--B\r\n";
        let padded = ([ONE, b"\0\0"].concat(), [TWO, b"\0\0\0"].concat());
        expect_also_unannounced("B", &bytes(text, &[ONE, TWO]), &[("image/jpeg", &padded.0), ("image/jpeg", &padded.1)]);
    }

    #[test]
    fn headers_that_are_folded_unknown_or_malformed() {
        let text = "--B\r\nX-Long: a\r\n  folded\r\nnonsense\r\nContent-Type : text/plain\r\n: x\r\n\r\none\r\n--B--";
        expect_also_unannounced("B", text.as_bytes(), &[("text/plain", b"one")]);
    }
}

mod ends {
    use super::*;

    #[test]
    fn a_part_without_a_length_that_the_stream_cuts_off_has_no_end() {
        let text = b"--B\r\nContent-Type: text/plain\r\n\r\none\r\n--B\r\nContent-Type: text/plain\r\n\r\ntw";
        for read in [1, 2, 7, text.len()] {
            let (parts, refused) = decoded(Some("B"), text, read, Bounds::bodies(100));
            let parts: Vec<_> = parts.iter().map(|part| (&part.body[..], part.has_end)).collect();
            assert_eq!((parts, refused), (vec![(&b"one"[..], true), (&b"tw"[..], false)], 0));
        }
    }

    #[test]
    fn a_part_that_is_shorter_than_its_length_is_dropped_and_counted() {
        let text = b"--B\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nshort";
        expect_refused(Some("B"), text, Bounds::bodies(100), &[], 1);
        let text = b"--B\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nshort";
        expect_refused(Some("B"), text, Bounds::bodies(100), &[("text/plain", b"short")], 0);
    }

    #[test]
    fn a_complete_picture_is_emitted_without_waiting_for_a_delimiter() {
        let (mut decoder, mut parts) = (Decoder::new(Some("B"), Bounds::bodies(1000)), Vec::new());
        for headers in ["Content-Type: image/jpeg\r\nContent-Length: 13\r\n", "Content-Type: image/jpeg\r\n", ""] {
            decoder.push(&bytes(&format!("\r\n--B\r\n{headers}\r\n{{}}"), &[ONE]), &mut parts);
            assert_eq!(parts.pop().unwrap().body, ONE, "{headers:?}");
            assert_eq!(decoder.pending(), 0);
        }
    }

    #[test]
    fn a_text_is_emitted_at_once_after_a_length_has_proved_right() {
        let (mut decoder, mut parts) = (Decoder::new(Some("B"), Bounds::bodies(1000)), Vec::new());
        let part = b"--B\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\none";
        decoder.push(part, &mut parts);
        assert_eq!((parts.len(), decoder.pending()), (0, 3));
        decoder.push(b"\r\n", &mut parts);
        decoder.push(part, &mut parts);
        assert_eq!((parts.len(), decoder.pending()), (2, 0));
    }
}

mod bounds {
    use super::*;

    #[test]
    fn a_body_over_the_limit_is_dropped_and_the_next_part_found() {
        for length in ["", "Content-Length: 5000\r\n", "Content-Length: 30\r\n"] {
            let text = format!(
                "--B\r\nContent-Type: text/plain\r\n{length}\r\n{}\r\n--B\r\nContent-Type: text/plain\r\n\r\none\r\n--B--",
                "x".repeat(5000)
            );
            expect_refused(Some("B"), text.as_bytes(), Bounds::bodies(100), &[("text/plain", b"one")], 1);
            expect_refused(None, text.as_bytes(), Bounds::bodies(100), &[("text/plain", b"one")], 1);
        }
        let exactly = "--B\r\n\r\n{}\r\n--B--";
        for (size, refused) in [(99, 0), (100, 0), (101, 1)] {
            let body = vec![b'x'; size];
            let expected: Expected<'_> = &[("", &body)];
            expect_refused(Some("B"), &bytes(exactly, &[&body]), Bounds::bodies(100), &expected[refused as usize..], refused);
        }
    }

    #[test]
    fn a_part_with_headers_over_the_limits_is_dropped() {
        let bounds = Bounds { header_bytes: 100, headers: 4, body_bytes: 100 };
        for headers in ["X: ".to_owned() + &"x".repeat(200), "X: y\r\n".repeat(5), "X: y\r\n".repeat(100) + "Content-Length: 10"] {
            let text = format!("--B\r\n{headers}\r\n\r\nlost\r\n--B\r\nContent-Type: text/plain\r\n\r\none\r\n--B--");
            expect_refused(Some("B"), text.as_bytes(), bounds, &[("text/plain", b"one")], 1);
        }
    }

    #[test]
    fn bytes_outside_parts_take_no_memory() {
        for (boundary, block) in [
            (Some("B"), "no delimiter "),
            (None, "-- no\n-"),
            (Some("B"), "-"),
            (None, "-"),
            (Some("B"), "\n--B"),
            (Some("BB"), "B"),
        ] {
            let (mut decoder, mut parts) = (Decoder::new(boundary, Bounds::bodies(100)), Vec::new());
            let data = block.repeat(1000);
            for _ in 0..100 {
                decoder.push(data.as_bytes(), &mut parts);
                assert!(decoder.buffer.len() < data.len() + 1000, "{block:?}: {}", decoder.buffer.len());
            }
        }
    }
}
