"""Writes files as common programs write them, into a directory. What is not installed is left out. Needs Pillow."""

import io, json, os, pathlib, shutil, subprocess, sys

from PIL import Image, ImageDraw

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def run(*command, **more):
    if shutil.which(command[0]):
        subprocess.run(command, cwd=out, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=120, **more)


def pillow():
    picture = Image.effect_mandelbrot((120, 90), (-2, -1, 1, 1), 40)
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"):
        image = picture.convert(mode)
        for ending in ("png", "jpg", "gif", "webp", "bmp", "dib", "tif", "avif", "pdf", "apng"):
            for name, more in (("", {}), ("-opt", {"optimize": True}), ("-prog", {"progressive": True}), ("-lossless", {"lossless": True}),
                               ("-big", {"big_tiff": True}), ("-lzw", {"compression": "tiff_lzw"}), ("-exif", {"exif": Image.Exif().tobytes()})):
                try:
                    image.save(out / f"pillow-{mode.replace(';', '')}{name}.{ending}", **more)
                except Exception:
                    (out / f"pillow-{mode.replace(';', '')}{name}.{ending}").unlink(missing_ok=True)
    frames = [picture.rotate(10 * n).convert("P") for n in range(8)]
    for ending in ("gif", "webp", "png", "tif", "avif", "pdf"):
        try:
            frames[0].save(out / f"pillow-many.{ending}", save_all=True, append_images=frames[1:])
        except Exception:
            pass


def matplotlib():
    try:
        os.environ["MPLBACKEND"] = "Agg"
        import matplotlib.pyplot as plt
    except ImportError:
        return
    plt.plot([1, 3, 2])
    for ending in ("png", "jpg", "svg", "svgz", "pdf", "tif", "webp"):
        plt.savefig(out / f"matplotlib.{ending}")


def programs():
    plain, film = str(out / "pillow-RGB.png"), ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=5", "-t", "2", "-loglevel", "error", "-y"]
    for ending in ("png", "jpg", "gif", "webp", "bmp", "tiff", "avif", "heic", "pdf", "svg", "dib"):
        run("convert", plain, f"imagemagick.{ending}")
        run("convert", plain, "-interlace", "plane", "-strip", f"imagemagick-interlace.{ending}")
    for bmp in ("BMP2", "BMP3"):
        run("convert", plain, f"{bmp}:imagemagick-{bmp}.bmp")
        run("convert", plain, "-colors", "16", "-compress", "RLE", f"{bmp}:imagemagick-{bmp}-rle.bmp")
    for codec in ("none", "lzw", "zip", "jpeg", "rle"):
        run("convert", plain, "-compress", codec, f"imagemagick-{codec}.tif")
        run("convert", plain, "-compress", codec, "-define", "tiff:tile-geometry=64x64", f"imagemagick-{codec}-tiles.tif")
    for ending in ("png", "jpg", "gif", "webp", "bmp", "tiff", "avif"):
        run("ffmpeg", *film, "-frames:v", "1", f"ffmpeg.{ending}")
    for name in ("film.mp4", "film.mov", "film.m4v", "film.3gp", "film.gif", "film.webp", "film.apng"):
        run("ffmpeg", *film, f"ffmpeg-{name}")
    run("ffmpeg", *film, "-movflags", "faststart", "ffmpeg-faststart.mp4")
    run("ffmpeg", *film, "-movflags", "frag_keyframe+empty_moov", "ffmpeg-fragments.mp4")
    run("ffmpeg", "-f", "lavfi", "-i", "sine", "-t", "1", "-loglevel", "error", "-y", "ffmpeg.m4a")
    run("gnuplot", "-e", "set term svg; set output 'gnuplot.svg'; plot sin(x)")
    run("dot", "-Tsvg", "-o", "dot.svg", input=b"digraph { a -> b }")
    run("qpdf", "--linearize", "pillow-RGB.pdf", "qpdf-linearized.pdf")


def documents():
    table = {"epoch": 3, "loss": float("nan"), "name": "grün", "list": [[1, 2], {"a": None}], "text": 'a "quoted" ]}'}
    for name, text in {
        "json-plain.json": json.dumps(table), "json-pretty.json": json.dumps(table, indent=2), "json-lines.json": "{}\n{}\n",
        "json-bom.json": "\ufeff" + json.dumps(table), "json-crlf.json": json.dumps(table, indent=2).replace("\n", "\r\n"),
        "page.html": "<!DOCTYPE html>\n<html><head><title>t</title></head><body><p>x</body></html>\n",
        "page-without-end.html": "<!DOCTYPE html>\n<title>t</title>\n<p>x\n", "fragment.html": "<div><p>x</p></div>\n",
    }.items():
        (out / name).write_text(text, encoding="utf-8")
        (out / f"utf-16-{name}").write_text(text, encoding="utf-16")


pillow()
matplotlib()
programs()
documents()
for empty in out.iterdir():
    if empty.stat().st_size == 0:
        empty.unlink()
