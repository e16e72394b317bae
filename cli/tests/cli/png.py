"""Writes the pixels of a PNG (8 bits, RGB or RGBA) to a file; prints its width."""
import struct
import sys
import zlib

data = open(sys.argv[1], "rb").read()
at, packed = 8, b""
while at < len(data):
    size, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + size]
    if kind == b"IHDR":
        width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        assert depth == 8 and colour in (2, 6), (depth, colour)
    packed += body if kind == b"IDAT" else b""
    at += 12 + size
step = 4 if colour == 6 else 3
raw, line = zlib.decompress(packed), bytearray(width * step)
out = bytearray()
for y in range(height):
    begin = y * (width * step + 1)
    how, now = raw[begin], bytearray(raw[begin + 1:begin + 1 + width * step])
    for x in range(width * step):
        a = now[x - step] if x >= step else 0
        b, c = line[x], line[x - step] if x >= step else 0
        nearest = min((a, b, c), key=lambda v: (abs(a + b - c - v), (a, b, c).index(v)))
        now[x] = (now[x] + (0, a, b, (a + b) // 2, nearest)[how]) & 255
    line = now
    out += b"".join(now[x:x + 3] for x in range(0, width * step, step))
open(sys.argv[2], "wb").write(out)
print(width)
