//! Pictures of one colour, small and whole, and pictures that no encoder makes small.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

pub type Colour = [u8; 3];

pub const RED: Colour = [220, 20, 20];
pub const GREEN: Colour = [20, 180, 20];
pub const BLUE: Colour = [20, 20, 220];

/// Colours that stay apart in any encoding.
pub const PALETTE: [Colour; 6] = [RED, GREEN, BLUE, [220, 220, 20], [20, 220, 220], [220, 20, 220]];

/// A PNG of 64 by 64 pixels.
pub fn png(colour: Colour) -> Vec<u8> {
    encode(RgbImage::from_pixel(64, 64, Rgb(colour)), ImageFormat::Png)
}

/// A JPEG of 64 by 64 pixels.
pub fn jpeg(colour: Colour) -> Vec<u8> {
    jpeg_of(colour, 64)
}

/// A JPEG of so many pixels each way.
pub fn jpeg_of(colour: Colour, pixels: u32) -> Vec<u8> {
    encode(RgbImage::from_pixel(pixels, pixels, Rgb(colour)), ImageFormat::Jpeg)
}

/// A PNG of about so many bytes, another one for another seed.
pub fn noise(bytes: usize, seed: u32) -> Vec<u8> {
    padded_png(RED, bytes, seed)
}

/// A PNG of 64 by 64 pixels with so many bytes more, in a chunk that decoders pass over (PNG, section 5.4): encoding a
/// large picture takes its time.
pub fn padded_png(colour: Colour, bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    });
    let data: Vec<u8> = random.take(bytes / 4).flatten().collect();
    let named = [b"noIs", data.as_slice()].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let chunk = [&length[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat();
    let mut picture = png(colour);
    let end = picture.len() - b"\0\0\0\0IEND\xae\x42\x60\x82".len();
    picture.splice(end..end, chunk);
    picture
}

/// Whether two colours are the same to the eye.
pub fn near(a: Colour, b: Colour) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) < 40)
}

fn encode(picture: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
