//! Whether whole documents of other programs are seen to be whole, and no beginning of one is. `tests/real_files/run` does the same
//! with thousands of files that other programs are tested with, and asks decoders of their own.

use std::{env, fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use mxr::format::{Completeness, ImageClass, Inspection, Media, decompressed, inspect};
use proptest::{prelude::*, sample::Index};

use crate::support::{RED, jpeg_of, png};

const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><rect width=\"9\" height=\"9\"/></svg>\n";
const PAGE: &str = "<!DOCTYPE html>\n<!-- </html> -->\n<html><head><title>t</title></head><body><p>x</p></body></html>";

fn look(name: &str, body: &[u8]) -> Inspection {
    let media = Media::guess(Path::new(name), body);
    inspect(&media, &decompressed(&media, body.to_vec().into(), 1 << 26))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn utf_16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// A GIF of one pixel.
fn gif() -> Vec<u8> {
    let image = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4c, 1, 0];
    [b"GIF89a\x01\0\x01\0\x80\0\0", &[9; 6][..], &image, &[0x3b]].concat()
}

fn webp() -> Vec<u8> {
    [b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0", &[0x2f, 0, 0, 0, 1, 0][..]].concat()
}

/// A BMP of 8 by 8 pixels.
fn bmp() -> Vec<u8> {
    let words = [40u32, 8, 8, 24 << 16 | 1, 0, 0, 0, 0, 0, 0];
    [b"BM\xf6\0\0\0\0\0\0\0\x36\0\0\0", &words.map(u32::to_le_bytes).concat()[..], &[7; 192]].concat()
}

/// A TIFF whose directory stands in front of its only strip.
fn tiff() -> Vec<u8> {
    let entry = |tag: u8, value: u8| [tag, 1, 4, 0, 1, 0, 0, 0, value, 0, 0, 0];
    [b"II*\0\x08\0\0\0\x02\0", &entry(17, 38)[..], &entry(23, 90), &[0; 4], &[7; 90]].concat()
}

fn part(kind: &[u8], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}

/// An AVIF whose item lies 64 bytes into the file.
fn avif() -> Vec<u8> {
    let iloc = [1, 0, 0, 0, 0x44, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 64, 0, 0, 0, 9];
    let meta = part(b"meta", &[&[0; 4][..], &part(b"iloc", &iloc)].concat());
    [part(b"ftyp", b"avif"), meta, part(b"mdat", &[7; 9])].concat()
}

fn pdf() -> Vec<u8> {
    b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\nxref\n0 1\ntrailer\n<<>>\nstartxref\n28\n%%EOF".to_vec()
}

/// A normal file of every format that has an end.
fn normal() -> Vec<(&'static str, Vec<u8>)> {
    let film = [part(b"ftyp", b"isom"), part(b"mdat", b"data"), part(b"moov", b"table")].concat();
    vec![
        ("a.png", png(RED)),
        ("a.jpg", jpeg_of(RED, 32)),
        ("a.gif", gif()),
        ("a.webp", webp()),
        ("a.bmp", bmp()),
        ("a.tif", tiff()),
        ("a.avif", avif()),
        ("a.mp4", film.clone()),
        ("a.m4a", film.clone()),
        ("a.m4v", film.clone()),
        ("a.3gp", film.clone()),
        ("a.mov", film),
        ("a.pdf", pdf()),
        ("a.json", br#"{"a": [1, "x\"]}", {}], "b": null}"#.to_vec()),
        ("a.geojson", br#"{"type": "FeatureCollection", "features": []}"#.to_vec()),
        ("a.xml", b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a \"<b>\">]><r a='<'><![CDATA[x]]><b/><!-- <r> --></r>".to_vec()),
        ("a.svg", SVG.trim().into()),
        ("a.svgz", gzip(SVG)),
        ("a.html", PAGE.into()),
    ]
}

#[test]
fn whole_documents_that_bend_their_format_are_shown_when_their_writer_is_done() {
    let jpeg = jpeg_of(RED, 32);
    let behind = |body: Vec<u8>, more: &[u8]| [&body[..], more].concat();
    // Behind SOI and the first segment.
    let marker = 4 + usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]]));
    for (name, body) in [
        ("end-tag-omitted.html", b"<!DOCTYPE html>\n<html lang=en>\n<title>t</title>\n<p>x\n".to_vec()),
        ("comment-behind.html", behind(PAGE.into(), format!("\n<!-- {} -->\n", "cached ".repeat(99)).as_bytes())),
        ("script-behind.html", behind(PAGE.into(), format!("\n<script>{}</script>\n", "/* reload */ ".repeat(99)).as_bytes())),
        ("utf-16.html", utf_16(PAGE)),
        ("bom.json", b"\xef\xbb\xbf{\"a\": 1}\r\n".to_vec()),
        ("nan.json", b"{\"epoch\": 3, \"loss\": NaN, \"best\": -Infinity, \"big\": 1e999}".to_vec()),
        ("comments.json", b"// settings\n{\n  \"a\": 4, /* four */\n}\n".to_vec()),
        ("utf-16.json", utf_16("{\"a\": 1}\r\n")),
        ("deep.json", [[b'['; 500], [b']'; 500]].concat()),
        ("latin-1.json", b"{\"a\": \"gr\xfcn \\ud83d\"}".to_vec()),
        ("sequence.json", b"\x1e{\"a\":1}\n\x1e{\"a\":2}\n".to_vec()),
        ("lines.json", b"{\"a\":1}\n{\"a\":2}\n".to_vec()),
        ("latin-1.xml", b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<r>gr\xfcn</r>\n".to_vec()),
        ("utf-16.xml", utf_16("<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n<r>x</r>\n")),
        ("entities.xml", b"<!DOCTYPE r [<!ENTITY a \"<b>x</b>\">]>\n<r>&a;</r>\n".to_vec()),
        ("roots.xml", b"<e>1</e>\n<e>2</e>\n".to_vec()),
        ("entities.xhtml", b"<html xmlns=\"http://www.w3.org/1999/xhtml\"><body><p>a&nbsp;b</p></body></html>\n".to_vec()),
        ("utf-16.svg", utf_16(SVG)),
        ("latin-1.svg", SVG.replace("<rect", "<title>gr\u{fffd}n</title><rect").replace('\u{fffd}', "ü").into()),
        ("zeros-behind.svg", behind(SVG.into(), &[0; 9])),
        ("gzip.svgz", gzip(SVG)),
        ("before.pdf", [b"@PJL JOB\n", &pdf()[..]].concat()),
        ("no-mark.pdf", pdf()[..pdf().len() - 5].to_vec()),
        ("behind.pdf", behind(pdf(), &[0; 5000])),
        ("newline-before.jpg", [b"\r\n", &jpeg[..]].concat()),
        ("strays.jpg", [&jpeg[..marker], &[0; 3], &jpeg[marker..]].concat()),
        ("wrong-length.jpg", [&jpeg[..2], b"\xff\xe1\0\x0aExif\0\x0012345", &jpeg[2..]].concat()),
        ("behind.jpg", behind(jpeg, &[b"MotionPhoto", &[0; 200][..]].concat())),
        ("no-trailer.gif", gif()[..gif().len() - 1].to_vec()),
        ("zero.gif", [&gif()[..gif().len() - 1], &[0, 0x3b]].concat()),
        ("behind.png", behind(png(RED), &[0; 100])),
        ("checksum.png", [&png(RED)[..33], b"\0\0\0\x03tEXta\0b\0\0\0\0", &png(RED)[33..]].concat()),
        ("behind.avif", behind(avif(), &[0; 4])),
        ("newline.avif", behind(avif(), b"\n")),
        ("length-too-large.webp", [&webp()[..4], &[0x13], &webp()[5..]].concat()),
        ("length-0.bmp", [&bmp()[..2], &[0; 4], &bmp()[6..]].concat()),
        ("length-too-large.bmp", [&bmp()[..2], &[0xff], &bmp()[3..]].concat()),
        ("no-file-header.dib", bmp()[14..].to_vec()),
    ] {
        let seen = look(name, &body);
        assert_ne!(seen.completeness, Completeness::Truncated, "{name}");
    }
}

#[test]
fn a_picture_without_its_end_mark_is_for_an_img_if_browsers_draw_what_is_there() {
    let (jpeg, png) = (jpeg_of(RED, 32), png(RED));
    let without = |body: &[u8], bytes: usize| body[..body.len() - bytes].to_vec();
    for (name, body, class) in [
        ("no-eoi.jpg", without(&jpeg, 2), ImageClass::Raster),
        ("headers.jpg", jpeg[..200].to_vec(), ImageClass::Other),
        ("newline-before.jpg", [b"\r\n", &jpeg[..]].concat(), ImageClass::Other),
        ("no-iend.png", without(&png, 12), ImageClass::Raster),
        ("head.png", png[..33].to_vec(), ImageClass::Other),
        ("no-trailer.gif", without(&gif(), 1), ImageClass::Raster),
        ("head.gif", gif()[..19].to_vec(), ImageClass::Other),
        ("cut.webp", without(&webp(), 2), ImageClass::Other),
        ("cut.bmp", without(&bmp(), 1), ImageClass::Other),
        ("cut.avif", without(&avif(), 1), ImageClass::Other),
    ] {
        assert_eq!(look(name, &body).class, class, "{name}");
    }
}

#[test]
fn a_file_that_may_go_on_is_not_complete_while_its_writer_holds_it() {
    let open_ended = [&avif()[..56], &[0; 4], &avif()[60..]].concat();
    let fragments = [part(b"ftyp", b"isom"), part(b"moov", b"table"), part(b"moof", b"x"), part(b"mdat", b"data")].concat();
    let linearized = [b"%PDF-1.4\n1 0 obj <</Linearized 1 /L 4000>> endobj xref startxref 0 %%EOF\n", &pdf()[..]].concat();
    let bodies = [
        ("size-0.avif", open_ended[..70].to_vec()),
        ("fragments.mp4", fragments),
        ("linearized.pdf", linearized),
        ("comment.html", b"<!DOCTYPE html>\n<!-- comment -->\n".to_vec()),
        ("title.html", b"<title>t</title>\n<p>x</p>".to_vec()),
        ("a.zip", b"PK\x03\x04".repeat(9)),
        ("a.mp3", b"\xff\xfb\x90\x64".repeat(9)),
        ("a.npy", b"\x93NUMPY\x01\0".repeat(9)),
        ("a.m4a", b"\x01\x02\x03\x04".repeat(9)),
    ];
    for (name, body) in bodies {
        let seen = look(name, &body).completeness;
        assert!(matches!(seen, Completeness::Unknown | Completeness::Truncated), "{name}: {seen:?}");
    }
    // A writer that makes the file as long as it will be, and then writes from its start.
    for (name, whole) in normal() {
        for written in (0..whole.len().saturating_sub(4)).step_by(3) {
            let body = [&whole[..written], &vec![0; whole.len() - written]].concat();
            assert_ne!(look(name, &body).completeness, Completeness::Complete, "{name}, {written} of {} bytes", whole.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_whole_file_is_complete_and_no_cut_of_it_is(cut in any::<Index>()) {
        for (name, whole) in normal() {
            prop_assert_eq!(look(name, &whole).completeness, Completeness::Complete, "{}", name);
            let cut = cut.index(whole.len());
            prop_assert_ne!(look(name, &whole[..cut]).completeness, Completeness::Complete, "{}, {} of {} bytes", name, cut, whole.len());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(name in prop::sample::select(normal()), at in any::<Index>(), bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let (name, mut body) = name;
        let at = at.index(body.len());
        let end = (at + bytes.len()).min(body.len());
        body.splice(at..end, bytes);
        look(name, &body);
    }
}

/// Prints what is seen of each file below `MXR_REAL_FILES`, for `tests/real_files/judge.py`: the path, whether it is complete, its
/// image class and its type, then the cuts of it that are called complete.
#[test]
fn files_of_other_programs() {
    let Some(folder) = env::var_os("MXR_REAL_FILES") else { return };
    let (mut folders, mut report) = (vec![folder.into()], String::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir::<std::path::PathBuf>(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(body) = path.is_file().then(|| fs::read(&path).unwrap()).filter(|body| !body.is_empty()) {
                let name = path.to_string_lossy();
                let seen = look(&name, &body);
                let cuts = [body.len() / 10, body.len() / 2, body.len() * 9 / 10, body.len() - 1];
                let complete: Vec<String> = cuts
                    .into_iter()
                    .filter(|cut| look(&name, &body[..*cut]).completeness == Completeness::Complete)
                    .map(|cut| cut.to_string())
                    .collect();
                let media = Media::guess(&path, &body);
                report += &format!("{name}\t{:?}\t{:?}\t{media}\t{}\n", seen.completeness, seen.class, complete.join(","));
            }
        }
    }
    fs::write(env::var_os("MXR_REAL_FILES_REPORT").expect("MXR_REAL_FILES_REPORT"), report).unwrap();
}
