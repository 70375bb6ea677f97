#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/images: encoded pictures of every kind and what Pillow, timm, torchvision and
transformers make of them, for tests/unit/test_image_*.c.

    make_images.py                rewrites everything but photos.tsv
    make_images.py --photos DIR   rewrites photos.tsv: checksums of preprocessed photos

Needs exactly the versions below: Pillow's order of passes and its codecs' pixels differ between releases.
"""
import argparse
import io
import pathlib
import random
import struct
import zlib

import golden_common  # before timm: it makes torchvision importable
import numpy
import PIL
import timm
import torchvision
import transformers
from PIL import Image, ImageOps, features
from timm.data import create_transform
from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio
from torchvision.transforms import CenterCrop
from torchvision.transforms import functional as tvf
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_utils import SizeDict
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

VERSIONS = {'Pillow': (PIL.__version__, '13.0.0'), 'timm': (timm.__version__, '1.0.31'),
            'torchvision': (torchvision.__version__.split('+')[0], '0.28.0'),
            'transformers': (transformers.__version__, '5.23.0'),
            'libjpeg-turbo': (features.version('libjpeg_turbo'), '3.2.0'),
            'libwebp': (features.version('webp'), '1.6.0')}
FOLDER = golden_common.HERE / 'images'
FILTERS = {0: 'nearest', 1: 'lanczos', 2: 'bilinear', 3: 'bicubic', 4: 'box', 5: 'hamming'}
CENTER, SQUASH, BORDER = 0, 1, 2
MODES = {CENTER: 'center', SQUASH: 'squash', BORDER: 'border'}
MEAN = (0.485, 0.3, 0.5)  # 255 * mean: 123.675, and two ties

# ---- synthetic pictures; tests/unit/image_golden.h has the same formula ----


def noise(width, height, seed):
    """[height][width][3]: a quarter of the values black, a quarter white, so that filters overshoot."""
    y, x, c = numpy.meshgrid(numpy.arange(height, dtype=numpy.uint32), numpy.arange(width, dtype=numpy.uint32),
                             numpy.arange(3, dtype=numpy.uint32), indexing='ij')
    with numpy.errstate(over='ignore'):
        h = (x * numpy.uint32(374761393) + y * numpy.uint32(668265263) + c * numpy.uint32(2246822519)
             + numpy.uint32(seed * 3266489917 % 2**32))
        h = (h ^ h >> numpy.uint32(13)) * numpy.uint32(1274126177)
        h ^= h >> numpy.uint32(16)
    v = (h & 255).astype(numpy.uint8)
    kind = h >> 8 & 3
    v[kind == 0] = 0
    v[kind == 1] = 255
    return v


def scene(width, height):
    """A picture that compresses: colour ramps, a disc and stripes."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    red = 255 * x / max(width - 1, 1)
    green = 255 * y / max(height - 1, 1)
    blue = 127.5 + 127.5 * numpy.sin(x * 0.7 + y * 0.2)
    disc = (x - width * 0.4)**2 + (y - height * 0.3)**2 < (height * 0.25)**2
    picture = numpy.stack([red, green, blue], 2)
    picture[disc] = 255 - picture[disc]
    return numpy.clip(numpy.floor(picture + 0.5), 0, 255).astype(numpy.uint8)


def crc(image):
    return zlib.crc32(numpy.ascontiguousarray(numpy.asarray(image, dtype=numpy.uint8)).tobytes())


# ---- encoded files ----


def exif(orientation, big_endian=False, entries_before=1, prefix=b'', as_long=False):
    order = '>' if big_endian else '<'
    entries = [struct.pack(order + 'HHII', 0x0100 + i, 4, 1, 7) for i in range(entries_before)]
    entries.append(struct.pack(order + 'HHII', 0x0112, 4, 1, orientation) if as_long else
                   struct.pack(order + 'HHIHH', 0x0112, 3, 1, orientation, 0))
    return (prefix + (b'MM\0*' if big_endian else b'II*\0') + struct.pack(order + 'I', 8)
            + struct.pack(order + 'H', len(entries)) + b''.join(entries) + struct.pack(order + 'I', 0))


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, 'JPEG', **{'quality': 80, **options})
    return out.getvalue()


def jpeg_segments(data):
    """Offsets of (marker, begin, end) up to the scan."""
    at = 2
    while data[at + 1] != 0xda:
        end = at + 2 + struct.unpack('>H', data[at + 2:at + 4])[0]
        yield data[at + 1], at, end
        at = end


def jpeg_files():
    rgb = Image.fromarray(scene(97, 71))
    cmyk = Image.fromarray(numpy.dstack([scene(61, 47), scene(61, 47)[::-1, :, 0] // 2]), 'CMYK')
    for name, subsampling in (('444', 0), ('422', 1), ('420', 2)):
        yield f'rgb_{name}.jpg', jpeg(rgb, subsampling=subsampling)
    yield 'progressive.jpg', jpeg(rgb, progressive=True)
    yield 'grey.jpg', jpeg(rgb.convert('L'))
    yield 'grey_progressive.jpg', jpeg(rgb.convert('L'), progressive=True)
    yield 'restart.jpg', jpeg(rgb, restart_marker_blocks=3)
    yield 'stored_rgb.jpg', jpeg(rgb, keep_rgb=True)
    yield 'one_pixel.jpg', jpeg(Image.fromarray(scene(1, 1)))
    yield 'tall.jpg', jpeg(Image.fromarray(scene(40, 300)))
    inverted = jpeg(cmyk)
    yield 'cmyk.jpg', inverted
    (begin, end), = [(b, e) for marker, b, e in jpeg_segments(inverted) if marker == 0xee]
    assert inverted[begin + 4:begin + 9] == b'Adobe' and inverted[end - 1] == 0
    yield 'ycck.jpg', inverted[:end - 1] + b'\2' + inverted[end:]
    yield 'cmyk_without_adobe.jpg', inverted[:begin] + inverted[end:]
    # What may stand before a marker loses nothing: the file is readable, and the orientation behind it is found.
    oriented = jpeg(rgb, exif=exif(6, prefix=b'Exif\0\0'))
    begin, = [b for marker, b, e in jpeg_segments(oriented) if marker == 0xe1]
    for name, before in (('fill', b'\xff\xff\xff'), ('stray_byte', b'\0'), ('stray_stuffing', b'\xff\0'),
                         ('stray_restart', b'\xff\xd0'), ('empty_exif', b'\xff\xe1\0\x08Exif\0\0')):
        yield f'{name}_before_exif.jpg', oriented[:begin] + before + oriented[begin:]
    yield 'exif_long_6.jpg', jpeg(rgb, exif=exif(6, prefix=b'Exif\0\0', as_long=True))
    for orientation in range(1, 9):
        data = exif(orientation, big_endian=orientation % 2 == 0, entries_before=orientation % 3,
                    prefix=b'Exif\0\0')
        yield f'exif_{orientation}.jpg', jpeg(rgb, exif=data)
        yield f'exif_progressive_{orientation}.jpg', jpeg(rgb.resize((48, 90)), exif=data, progressive=True)


def png_chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_rows(samples, depth):
    """Filter type 0 and the packed samples of each row; `samples` [height][width][channels]."""
    height = samples.shape[0]
    flat = samples.reshape(height, -1)
    if depth == 16:
        rows = flat.astype('>u2').view(numpy.uint8).reshape(height, -1)
    elif depth == 8:
        rows = flat.astype(numpy.uint8)
    else:
        bits = (flat[:, :, None] >> numpy.arange(depth - 1, -1, -1)) & 1
        rows = numpy.packbits(bits.reshape(height, -1).astype(numpy.uint8), axis=1)
    return b''.join(b'\0' + row.tobytes() for row in rows)


def png(samples, depth, kind, interlaced=False, before=(), after=()):
    height, width = samples.shape[:2]
    raw = b''
    if interlaced:
        for x, y, dx, dy in ADAM7:
            part = samples[y::dy, x::dx]
            raw += png_rows(part, depth) if part.size else b''
    else:
        raw = png_rows(samples, depth)
    header = struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, int(interlaced))
    chunks = [(b'IHDR', header), *before, (b'IDAT', zlib.compress(raw, 9)), *after, (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(png_chunk(*chunk) for chunk in chunks)


def png_files():
    rgb = scene(53, 37).astype(numpy.uint32)
    grey = rgb[:, :, :1]
    fine = (rgb * 257 + numpy.arange(53)[None, :, None] * 3) % 65536  # low bytes that differ from the high ones
    alpha = (numpy.add.outer(numpy.arange(37), numpy.arange(53)) * 3 % 256)[:, :, None]
    palette = b''.join(bytes((i * 37 % 256, 255 - i, i * 91 % 256)) for i in range(256))
    for depth in (1, 2, 4, 8):
        for interlaced in (False, True):
            suffix = '_interlaced' if interlaced else ''
            yield f'grey_{depth}{suffix}.png', png(grey >> (8 - depth), depth, 0, interlaced)
            entries = [(b'PLTE', palette[:3 * 2**depth])]
            yield f'palette_{depth}{suffix}.png', png(grey >> (8 - depth), depth, 3, interlaced, entries)
    for interlaced in (False, True):
        suffix = '_interlaced' if interlaced else ''
        yield f'grey_16{suffix}.png', png(fine[:, :, :1], 16, 0, interlaced)
        yield f'rgb_8{suffix}.png', png(rgb, 8, 2, interlaced)
        yield f'rgb_16{suffix}.png', png(fine, 16, 2, interlaced)
        yield f'grey_alpha_8{suffix}.png', png(numpy.dstack([grey, alpha]), 8, 4, interlaced)
        yield f'grey_alpha_16{suffix}.png', png(numpy.dstack([fine[:, :, :1], alpha * 257]), 16, 4, interlaced)
        yield f'rgba_8{suffix}.png', png(numpy.dstack([rgb, alpha]), 8, 6, interlaced)
        yield f'rgba_16{suffix}.png', png(numpy.dstack([fine, alpha * 257]), 16, 6, interlaced)
    # Colour keys and palettes with transparency: dropped, not blended.
    yield 'grey_key.png', png(grey, 8, 0, before=[(b'tRNS', struct.pack('>H', int(grey[5, 5, 0])))])
    yield 'rgb_key.png', png(rgb, 8, 2, before=[(b'tRNS', struct.pack('>HHH', *map(int, rgb[5, 5])))])
    yield 'palette_alpha.png', png(grey >> 4, 4, 3, before=[(b'PLTE', palette[:48]),
                                                           (b'tRNS', bytes(range(0, 160, 10)))])
    yield 'gamma.png', png(rgb, 8, 2, before=[(b'gAMA', struct.pack('>I', 100000))])
    yield 'palette_short.png', png(grey >> 4, 8, 3, before=[(b'PLTE', palette[:30])])  # indices beyond it: black
    yield 'ancillary_broken.png', png(rgb, 8, 2, before=[(b'eXIf', b''), (b'zTXt', b'k')])
    yield 'one_pixel.png', png(rgb[:1, :1], 8, 2)
    yield 'exif_before_6.png', png(rgb, 8, 2, before=[(b'eXIf', exif(6))])
    yield 'exif_after_8.png', png(rgb, 8, 2, after=[(b'eXIf', exif(8, big_endian=True))])
    yield 'exif_long_8.png', png(rgb, 8, 2, before=[(b'eXIf', exif(8, big_endian=True, as_long=True))])
    yield 'exif_interlaced_5.png', png(rgb, 8, 2, True, before=[(b'eXIf', exif(5))])


def webp(image, **options):
    out = io.BytesIO()
    image.save(out, 'WEBP', **options)
    return out.getvalue()


def webp_files():
    rgb = Image.fromarray(scene(97, 71))
    alpha = (numpy.add.outer(numpy.arange(71), numpy.arange(97)) * 3 % 256).astype(numpy.uint8)
    rgba = Image.fromarray(numpy.dstack([scene(97, 71), alpha]))
    yield 'lossy.webp', webp(rgb, quality=80)
    yield 'lossless.webp', webp(rgb, lossless=True)
    yield 'lossy_alpha.webp', webp(rgba, quality=80)
    yield 'lossless_alpha.webp', webp(rgba, lossless=True, exact=True)
    yield 'animated.webp', webp(rgba, lossless=True, exact=True, save_all=True,
                                append_images=[rgba.transpose(Image.Transpose.ROTATE_180)], duration=100)
    yield 'exif_6.webp', webp(rgb, quality=80, exif=exif(6))
    yield 'exif_prefixed_3.webp', webp(rgb, quality=80, exif=exif(3, prefix=b'Exif\0\0'))


def open_rgb(data, apply_exif=True):
    image = Image.open(io.BytesIO(data))
    if apply_exif:
        image = ImageOps.exif_transpose(image)
    if image.mode == 'I;16':  # Pillow clips these at 255: here the high byte stays, as in its 16-bit colours
        return Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8)).convert('RGB')
    return image.convert('RGB')


def write_encoded():
    lines = []
    for name, data in [*jpeg_files(), *png_files(), *webp_files()]:
        (FOLDER / name).write_bytes(data)
        upright, stored = open_rgb(data), open_rgb(data, False)
        resized = upright.resize((29, 23), Image.Resampling.BICUBIC)
        lines.append(f'    {{"{name}", {upright.width}, {upright.height}, 0x{crc(upright):08x}, '
                     f'{stored.width}, {stored.height}, 0x{crc(stored):08x}, 0x{crc(resized):08x}}},\n')
    write_table('encoded.inc', '{file, width, height, upright pixels, width, height, stored pixels, upright '
                'pixels resized to 29 x 23 bicubic}', lines)


# ---- resize ----


def write_resized():
    generator = random.Random(1)
    sizes = [(1, 1, 5, 7), (1, 9, 4, 3), (9, 1, 3, 4), (2, 2, 1, 1), (3, 5, 3, 5), (7, 7, 7, 3), (7, 7, 3, 7),
             (17, 4, 64, 63), (64, 64, 63, 65), (64, 64, 128, 128), (64, 64, 32, 32), (64, 64, 16, 16),
             (224, 224, 32, 32), (100, 75, 43, 32), (75, 100, 32, 43), (32, 201, 16, 40), (32, 73, 16, 40),
             (32, 72, 16, 40), (32, 200, 64, 90), (32, 90, 64, 200), (250, 3, 7, 9), (3, 250, 9, 7), (600, 2, 1, 1)]
    while len(sizes) < 60:
        sizes.append(tuple(generator.choice((1, 2)) + generator.randrange(generator.choice((12, 60, 180)))
                           for _ in range(4)))
    lines = []
    for i, (width, height, new_width, new_height) in enumerate(sizes):
        image = Image.fromarray(noise(width, height, i))
        sums = [f'0x{crc(image.resize((new_width, new_height), resample)):08x}' for resample in FILTERS]
        lines.append(f'    {{{width}, {height}, {new_width}, {new_height}, {{{", ".join(sums)}}}}},\n')
    write_table('resized.inc', '{width, height, new width, new height, pixels by Pillow\'s code of the filter}; '
                'the seed is the row', lines)

    lines = []
    for i in range(40):
        width, height, new_width, new_height = (1 + generator.randrange(90) for _ in range(4))
        stored = Image.fromarray(noise(width, height, i))
        sums = []
        for orientation in range(1, 9):
            stored.getexif()[0x0112] = orientation
            upright = ImageOps.exif_transpose(stored)
            sums.append(f'0x{crc(upright.resize((new_width, new_height), generator_filter(i))):08x}')
        lines.append(f'    {{{width}, {height}, {new_width}, {new_height}, {generator_filter(i)}, '
                     f'{{{", ".join(sums)}}}}},\n')
    write_table('oriented.inc', '{stored width, height, new width, new height, filter, pixels by orientation 1..8}',
                lines)


def generator_filter(i):
    return (3, 2, 1, 0, 4, 5)[i % 6]


# ---- geometry ----


def index_image(width, height):
    y, x = numpy.mgrid[0:height, 0:width]
    return Image.fromarray((y * 65536 + x + 1).astype(numpy.int32), 'I')


def where(cropped):
    """(begin x, y, padding x, y) of a crop of an index image, or None when nothing of it is left."""
    y, x = numpy.nonzero(cropped)
    first = int(cropped[y[0], x[0]]) - 1
    return first % 65536, first // 65536, int(x[0]), int(y[0])


def timm_geometry(width, height, size_x, size_y, crop_pct, mode):
    """The steps of timm's own transform, applied to sizes and then to an index image."""
    transform = create_transform((3, size_y, size_x), crop_pct=crop_pct, crop_mode=MODES[mode],
                                 interpolation='bicubic', mean=MEAN, normalize=False)
    resize, crop = transform.transforms[:2]
    if isinstance(resize, ResizeKeepRatio):
        new_height, new_width = resize.get_params(Image.new('1', (width, height)), resize.size, resize.longest)
    else:
        size = resize.size if isinstance(resize.size, (list, tuple)) else [resize.size]
        new_height, new_width = tvf._compute_resized_output_size((height, width), list(size))
    if isinstance(crop, CenterCropOrPad):
        crop = CenterCropOrPad((size_y, size_x))  # a colour cannot fill an index image
    else:
        assert isinstance(crop, CenterCrop)
    return new_width, new_height, *where(numpy.asarray(crop(index_image(new_width, new_height))))


def transformers_geometry(width, height, size_x, size_y, shortest_edge):
    processor = TorchvisionBackend()
    image = tvf.pil_to_tensor(Image.new('L', (width, height)))
    new_height, new_width = processor.resize(image, SizeDict(shortest_edge=shortest_edge)).shape[-2:]
    index = tvf.pil_to_tensor(index_image(new_width, new_height))
    cropped = processor.center_crop(index, SizeDict(height=size_y, width=size_x))
    return new_width, new_height, *where(cropped[0].numpy())


def write_geometry():
    generator = random.Random(2)
    lines = []
    sizes = [(500, 375), (375, 500), (333, 500), (500, 333), (1, 1), (224, 224), (256, 256), (100, 101), (77, 300),
             (300, 77), (640, 427), (20, 900), (4000, 3000)]
    sizes += [(1 + generator.randrange(700), 1 + generator.randrange(700)) for _ in range(60)]
    inputs = [(224, 224, 0.875), (224, 224, 0.9), (224, 224, 1.0), (384, 384, 1.0), (224, 224, 0.95), (64, 48, 0.875),
              (33, 65, 0.9), (96, 96, 0.42)]
    for width, height in sizes:
        for size_x, size_y, crop_pct in generator.sample(inputs, 3):
            for mode in MODES:
                try:
                    numbers = timm_geometry(width, height, size_x, size_y, crop_pct, mode)
                except (ValueError, IndexError, MemoryError):
                    continue  # a side rounded to nothing
                if min(numbers[:2]) < 1 or max(numbers[:2]) > 20000:
                    continue
                lines.append(f'    {{{width}, {height}, {size_x}, {size_y}, {crop_pct}, 0, LUTRA_CROP_{MODES[mode].upper()}, '
                             f'{", ".join(map(str, numbers))}}},\n')
    for width, height in sizes:
        if max(width, height) > 12 * min(width, height):
            continue
        for size, edge in ((224, 256), (224, 248), (224, 224), (97, 100), (64, 50)):
            numbers = transformers_geometry(width, height, size, size, edge)
            lines.append(f'    {{{width}, {height}, {size}, {size}, 0.0, {edge}, LUTRA_CROP_CENTER, '
                         f'{", ".join(map(str, numbers))}}},\n')
    write_table('geometry.inc', '{width, height, input width, height, crop_pct, resize_height, mode, resized width, '
                'height, begin x, y, padding x, y}', lines)


# ---- whole preprocessing ----


def write_preprocessed():
    """timm's and transformers' own processors from pixels to pixels."""
    lines = []
    cases = [(120, 90, 32, 32), (90, 120, 32, 32), (41, 260, 32, 32), (60, 60, 64, 64), (130, 97, 48, 32),
             (20, 15, 32, 32), (33, 47, 31, 29)]
    for i, (width, height, size_x, size_y) in enumerate(cases):
        image = Image.fromarray(noise(width, height, 100 + i))
        for crop_pct in (0.875, 1.0, 0.6):
            for mode in MODES:
                for resample in (3, 2, 1, 0, 4, 5):
                    transform = create_transform((3, size_y, size_x), crop_pct=crop_pct, crop_mode=MODES[mode],
                                                 interpolation=FILTERS[resample], mean=MEAN, normalize=False)
                    expected = crc(transform(image).permute(1, 2, 0).numpy())
                    lines.append(f'    {{{width}, {height}, {100 + i}, {size_x}, {size_y}, {crop_pct}, 0, 0, '
                                 f'LUTRA_CROP_{MODES[mode].upper()}, {resample}, 0x{expected:08x}}},\n')
        for resample in FILTERS:
            options = {'resample': resample, 'do_rescale': False, 'do_normalize': False}
            squash = ViTImageProcessorPil(size={'height': size_y, 'width': size_x}, **options)
            pixels = numpy.asarray(squash(image)['pixel_values'][0]).transpose(1, 2, 0)
            lines.append(f'    {{{width}, {height}, {100 + i}, {size_x}, {size_y}, 0.0, {size_y}, {size_x}, '
                         f'LUTRA_CROP_SQUASH, {resample}, 0x{crc(pixels):08x}}},\n')
            edge = max(size_x, size_y) + 5
            shortest = BitImageProcessorPil(size={'shortest_edge': edge}, default_to_square=False,
                                            crop_size={'height': size_y, 'width': size_x}, **options)
            pixels = numpy.asarray(shortest(image)['pixel_values'][0]).transpose(1, 2, 0)
            lines.append(f'    {{{width}, {height}, {100 + i}, {size_x}, {size_y}, 0.0, {edge}, 0, '
                         f'LUTRA_CROP_CENTER, {resample}, 0x{crc(pixels):08x}}},\n')
    write_table('preprocessed.inc', '{width, height, seed, input width, height, crop_pct, resize_height, '
                'resize_width, mode, filter, pixels}', lines)


def write_table(name, columns, lines):
    programs = ', '.join(f'{program} {made}' for program, (made, _) in VERSIONS.items())
    head = (f'/* SPDX-License-Identifier: Apache-2.0 */\n/* Written by tests/golden/make_images.py with {programs}.\n'
            f' * {columns}. Pixels are CRC-32 of RGB bytes. */\n')
    (FOLDER / name).write_text(head + ''.join(lines))
    print(f'{name}: {len(lines)} rows')


def write_photos(folder):
    transform = create_transform(224, crop_pct=0.875, interpolation='bicubic', normalize=False)
    lines = ['# SPDX-License-Identifier: Apache-2.0\n',
             '# photo, CRC-32 of its pixels: 224 x 224, bicubic, crop_pct 0.875, as timm 1.0.31 and Pillow 13.0.0\n']
    for path in sorted(pathlib.Path(folder).glob('*.JPEG')):
        pixels = transform(Image.open(path).convert('RGB')).permute(1, 2, 0).numpy()
        lines.append(f'{path.name}\t{crc(pixels):08x}\n')
    (FOLDER / 'photos.tsv').write_text(''.join(lines))
    print(f'photos.tsv: {len(lines) - 2} rows')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--photos', metavar='DIR')
    arguments = parser.parse_args()
    for program, (found, wanted) in VERSIONS.items():
        assert found == wanted, f'{program} is {found}; the golden data is of {wanted}'
    if arguments.photos:
        write_photos(arguments.photos)
        return
    write_encoded()
    write_resized()
    write_geometry()
    write_preprocessed()


main()
