"""Compares what mxr sees of files (MXR_REAL_FILES_REPORT of tests/it/real_files.rs) with what decoders say, and prints a table.

    judge.py REPORT [--names]     --names lists the files of the columns that should be small

Which files a decoder takes goes to REPORT.taken, for live.py.

Decoders: Pillow for pictures, pdfinfo, ffprobe, Python's json, lxml (strictly for XML; HTML is always taken). A beginning of a file that
mxr calls complete is torn unless the decoder makes the same of it as of the whole file.
"""

import collections, hashlib, io, json, subprocess, sys, tempfile, warnings, concurrent.futures

import lxml.etree, lxml.html
from PIL import Image, ImageSequence

try:
    import pillow_heif
    pillow_heif.register_heif_opener()
except ImportError:
    pass

warnings.simplefilter("ignore")
Image.MAX_IMAGE_PIXELS = 60_000_000


def picture(body, name):
    hashes = []
    with Image.open(io.BytesIO(body)) as image:
        for frame in ImageSequence.Iterator(image):
            hashes.append(hashlib.sha1(frame.convert("RGBA").tobytes()).digest())
            if len(hashes) == 50:
                break
    return hashes


def through(command):
    def run(body, name):
        with tempfile.NamedTemporaryFile(suffix=name[name.rindex("."):]) as file:
            file.write(body)
            file.flush()
            done = subprocess.run([*command, file.name], capture_output=True, timeout=60)
        if done.returncode:
            raise ValueError(done.stderr[:99])
        return done.stdout.replace(file.name.encode(), b"")
    return run


def pdf(body, name):
    return [line for line in through(["pdfinfo"])(body, name).splitlines() if not line.startswith(b"File size")]


def values(body, name):
    for encoding in ("utf-8-sig", "utf-16", "utf-32", "latin-1"):
        try:
            text = body.decode(encoding)
        except ValueError:
            continue
        try:
            return repr(json.loads(text, strict=False))
        except ValueError:
            try:
                return repr([json.loads(line) for line in text.replace("\x1e", "").splitlines() if line.strip()] or 1 / 0)
            except (ValueError, ZeroDivisionError):
                continue
    raise ValueError("no JSON")


def xml(body, name):
    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    return lxml.etree.tostring(lxml.etree.fromstring(body, parser), method="c14n")


def html(body, name):
    return lxml.etree.tostring(lxml.html.document_fromstring(body)).strip()


film = through(["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets,codec_name"])
DECODERS = {
    "html": html, "htm": html, "json": values, "geojson": values, "ipynb": values, "pdf": pdf,
    **dict.fromkeys(["xml", "svg", "svgz", "xhtml", "xsd", "rss", "atom"], xml),
    **dict.fromkeys(["mp4", "m4a", "m4v", "3gp", "mov"], film),
}


def decoded(body, name):
    if name.endswith(".svgz"):
        import gzip
        body = gzip.decompress(body)
    try:
        return DECODERS.get(name.rsplit(".", 1)[-1].lower(), picture)(body, name)
    except RecursionError:
        return "deep"
    except Exception:
        return None


def is_torn(body, cut, name, whole):
    if not body[cut:].strip(b"\0\r\n\t "):
        return False
    part = decoded(body[:cut], name)
    # The first values of a list of JSON are a list of JSON.
    return part is None if name.endswith("json") else part != whole


def judge(line):
    name, completeness, image_class, media, cuts = line.rstrip("\n").split("\t")
    with open(name, "rb") as file:
        body = file.read()
    whole = decoded(body, name)
    torn = [cut for cut in map(int, filter(None, cuts.split(","))) if whole is not None and is_torn(body, cut, name, whole)]
    kind = name.rsplit(".", 1)[-1].lower().replace("jpeg", "jpg").replace("tiff", "tif").replace("htm", "html").replace("htmll", "html")
    return name, kind, completeness, image_class, whole is not None, torn


def main():
    table, names, taken = collections.defaultdict(collections.Counter), [], []
    with concurrent.futures.ProcessPoolExecutor(2) as pool, open(sys.argv[1]) as report:
        for name, kind, completeness, image_class, is_taken, torn in pool.map(judge, sorted(report), chunksize=16):
            for row in (kind, "all"):
                table[row]["files"] += 1
                table[row]["torn"] += len(torn)
                table[row]["taken" if is_taken else "refused"] += 1
                if is_taken:
                    table[row][completeness] += 1
            if is_taken:
                taken.append(name)
            if torn or (is_taken and completeness == "Truncated"):
                names.append(f"{completeness}\t{'taken' if is_taken else 'refused'}\ttorn at {torn}\t{name}")
    print("| format | files | a decoder takes | pushed at once | when its writer closes it | a second later | torn beginnings |")
    print("|---|---|---|---|---|---|---|")
    for kind in sorted(table, key=lambda kind: (kind == "all", kind)):
        row = table[kind]
        at_close = row["Unknown"] + row["Readable"]
        print(f"| {kind} | {row['files']} | {row['taken']} | {row['Complete']} | {at_close} | {row['Truncated']} | {row['torn']} |")
    with open(sys.argv[1] + ".taken", "w") as list_of_taken:
        list_of_taken.writelines(name + "\n" for name in taken)
    if "--names" in sys.argv:
        print("\n".join(names))


main()
