//! Pictures of one colour, which are small, and pictures of noise, which no encoder makes small.

use std::{
    io::Cursor,
    process::{Command, Stdio},
};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::tool;

pub type Colour = [u8; 3];

pub const RED: Colour = [220, 20, 20];
pub const GREEN: Colour = [20, 180, 20];
pub const BLUE: Colour = [20, 20, 220];

/// Colours that stay distinct in any encoding.
pub const PALETTE: [Colour; 6] = [RED, GREEN, BLUE, [220, 220, 20], [20, 220, 220], [220, 20, 220]];

/// A PNG of 64 by 64 pixels.
pub fn png(colour: Colour) -> Vec<u8> {
    encode(RgbImage::from_pixel(64, 64, Rgb(colour)), ImageFormat::Png)
}

/// A JPEG of 64 by 64 pixels.
pub fn jpeg(colour: Colour) -> Vec<u8> {
    jpeg_of(colour, 64)
}

/// A square JPEG with sides of this many pixels.
pub fn jpeg_of(colour: Colour, pixels: u32) -> Vec<u8> {
    encode(RgbImage::from_pixel(pixels, pixels, Rgb(colour)), ImageFormat::Jpeg)
}

/// A PNG of about this many bytes, which depends on the seed.
pub fn noise(bytes: usize, seed: u32) -> Vec<u8> {
    padded_png(RED, bytes, seed)
}

/// A PNG of 64 by 64 pixels with this many bytes more, in a chunk that decoders skip (PNG, section 5.4), since encoding a
/// large picture takes long.
pub fn padded_png(colour: Colour, bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    });
    // Repeated, since tests are not optimised, and many draw megabytes.
    let noise: Vec<u8> = random.take(bytes.min(16 << 10) / 4).flatten().collect();
    let mut data = noise.repeat(bytes.div_ceil(noise.len().max(1)));
    data.truncate(bytes / 4 * 4);
    let named = [b"noIs", data.as_slice()].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let chunk = [&length[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat();
    let mut picture = png(colour);
    let end = picture.len() - b"\0\0\0\0IEND\xae\x42\x60\x82".len();
    picture.splice(end..end, chunk);
    picture
}

/// A picture or film of 64 by 64 pixels, or a sound, in the format that this file name extension stands for.
pub fn drawn_by_ffmpeg(colour: Colour, extension: &str) -> Option<Vec<u8>> {
    let ffmpeg = tool(&["ffmpeg"])?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("drawn").with_extension(extension);
    let [red, green, blue] = colour;
    let drawing = format!("color=0x{red:02x}{green:02x}{blue:02x}:size=64x64:rate=10,format=rgb24");
    let input = if extension == "wav" { "sine" } else { &drawing };
    let length = if extension == "wav" || extension == "webm" { ["-t", "1"] } else { ["-frames:v", "1"] };
    let mut command = Command::new(ffmpeg);
    command.args(["-loglevel", "error", "-f", "lavfi", "-i", input]).args(length);
    if extension == "webm" {
        command.args(["-c:v", "libvpx"]);
    }
    let status = command.arg(&file).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "ffmpeg draws {extension}");
    Some(std::fs::read(file).unwrap())
}

/// Whether two colours look the same.
pub fn near(a: Colour, b: Colour) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) < 40)
}

fn encode(picture: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
