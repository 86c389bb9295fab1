"""Encoders and players that others have written, against a server: `peers.py SCENE URL ROOM TOKEN`.

aiortc         aiortc publishes by WHIP and watches by WHEP.
ffmpeg         FFmpeg's own muxer publishes H.264 and Opus by WHIP; aiortc watches by WHEP.
ffmpeg-active  The same, and FFmpeg opens DTLS; by itself it waits for the server to do it.

Ends with 0 when what was published was decoded, and the sessions ended as they should.
"""

import asyncio
import subprocess
import sys
from urllib.parse import urljoin

import aiohttp
import imageio_ffmpeg
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

PATIENCE_S = 40
ENOUGH = 15


class Session:
    """One offer, one answer, one URL."""

    def __init__(self, http, token):
        self.http = http
        self.headers = {"Authorization": f"Bearer {token}"}
        self.peer = RTCPeerConnection()
        self.seen = {"audio": 0, "video": 0}
        self.url = None
        self.closed = asyncio.Event()
        self.peer.on("track", lambda track: asyncio.ensure_future(self.count(track)))
        self.peer.on("connectionstatechange", self.changed)

    def changed(self):
        if self.peer.connectionState == "closed":
            self.closed.set()

    async def count(self, track):
        try:
            while True:
                await track.recv()
                self.seen[track.kind] += 1
        except MediaStreamError:
            pass

    async def begin(self, endpoint):
        await self.peer.setLocalDescription(await self.peer.createOffer())
        headers = {**self.headers, "Content-Type": "application/sdp"}
        body = self.peer.localDescription.sdp
        async with self.http.post(endpoint, data=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == 201, f"{answer.status}: {text}\n{body}"
            assert answer.headers["ETag"]
            self.url = urljoin(endpoint, answer.headers["Location"])
        await self.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def end(self):
        async with self.http.delete(self.url, headers=self.headers) as answer:
            assert answer.status == 200, answer.status
        # The server closes DTLS.
        await asyncio.wait_for(self.closed.wait(), PATIENCE_S)

    async def has_seen_enough(self, kinds):
        while min(self.seen[kind] for kind in kinds) < ENOUGH:
            await asyncio.sleep(0.05)


async def watch(http, url, room, token):
    player = Session(http, token)
    for kind in ("audio", "video"):
        player.peer.addTransceiver(kind, direction="recvonly")
    await player.begin(f"{url}/whep/{room}")
    return player


async def watched(player, kinds):
    try:
        await asyncio.wait_for(player.has_seen_enough(kinds), PATIENCE_S)
    except asyncio.TimeoutError:
        raise AssertionError(f"only {player.seen} were decoded") from None
    await player.end()


async def with_aiortc(http, url, room, token):
    encoder = Session(http, token)
    encoder.peer.addTrack(AudioStreamTrack())
    encoder.peer.addTrack(VideoStreamTrack())
    await encoder.begin(f"{url}/whip/{room}")
    await watched(await watch(http, url, room, token), ["audio", "video"])
    await encoder.end()


async def with_ffmpeg(http, url, room, token, *flags):
    player = await watch(http, url, room, token)
    sources = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=15", "-f", "lavfi", "-i", "sine"]
    video = "-c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -bf 0 -g 15 -pix_fmt yuv420p".split()
    audio = "-c:a libopus -ar 48000 -ac 2".split()
    whip = ["-f", "whip", *flags, "-authorization", token, f"{url}/whip/{room}"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-re", *sources, *video, *audio, "-t", "60", *whip]
    ffmpeg = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        await watched(player, ["audio", "video"])
        # As somebody would: it ends its session by DELETE.
        ffmpeg.stdin.write(b"q")
        ffmpeg.stdin.flush()
        assert await asyncio.to_thread(ffmpeg.wait, PATIENCE_S) == 0
    finally:
        ffmpeg.kill()


async def main(scene, url, room, token):
    async with aiohttp.ClientSession() as http:
        if scene == "aiortc":
            await with_aiortc(http, url, room, token)
        else:
            flags = ["-whip_flags", "dtls_active"] if scene == "ffmpeg-active" else []
            await with_ffmpeg(http, url, room, token, *flags)


asyncio.run(main(*sys.argv[1:]))
