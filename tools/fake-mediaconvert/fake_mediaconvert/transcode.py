"""The work of a job, done by ffmpeg: an HLS group as one process, frame captures as another."""

import json
import os
import subprocess
import tempfile

from .aws import split


# What an input may be: a playlist or a script would have this double read what it names.
INPUT = ["-protocol_whitelist", "file"]
INPUT += ["-format_whitelist", "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi,flv,mxf,ogg,wav,mp3,aac,flac"]


class JobError(Exception):
    """A job that ends as ERROR, with the service's code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


def probe(path):
    """The file's streams and its length in seconds."""
    run = subprocess.run(
        ["ffprobe", "-v", "error", *INPUT, "-print_format", "json"]
        + ["-show_streams", "-show_format", path],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(run.stdout or "{}")
    streams = found.get("streams", [])
    videos = [s for s in streams if s["codec_type"] == "video"]
    audios = [s for s in streams if s["codec_type"] == "audio"]
    if not videos:
        raise JobError(1040, "There is no video stream in the input")
    return videos, audios, float(found.get("format", {}).get("duration", 0))


def describe(uri, videos, audios):
    """The `inputDetails` of INPUT_INFORMATION."""
    video = [
        {"codec": v["codec_name"].upper(), "width": v["width"], "height": v["height"], "streamId": v["index"]}
        for v in videos
    ]
    audio = [{"codec": a["codec_name"].upper(), "channels": a.get("channels")} for a in audios]
    return [{"id": 1, "uri": uri, "video": video, "audio": audio}]


class Hls:
    """An HLS group: all renditions by one process."""

    def __init__(self, group, source, folder, has_audio, seconds):
        self._settings = group["outputGroupSettings"]["hlsGroupSettings"]
        self._outputs, self._source, self._folder = group["outputs"], source, folder
        self._has_audio, self._seconds = has_audio, seconds
        self.bucket, key = split(self._settings["destination"])
        self.base = key.rsplit("/", 1)[-1] or os.path.splitext(os.path.basename(source))[0]
        self.prefix = key[: len(key) - len(key.rsplit("/", 1)[-1])]

    def command(self):
        outputs, count = self._outputs, len(self._outputs)
        split_ = f"[0:v:0]split={count}" + "".join(f"[s{i}]" for i in range(count))
        scales = [f"[s{i}]{_scale(o['videoDescription'])}[v{i}]" for i, o in enumerate(outputs)]
        # What the adapter asks for as a GOP of seconds is forced by time.
        command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-progress", "pipe:1"]
        command += [*INPUT, "-i", self._source]
        command += ["-filter_complex", ";".join([split_, *scales])]
        sound = [bool(self._has_audio and o.get("audioDescriptions")) for o in outputs]
        for place in range(count):
            command += ["-map", f"[v{place}]"] + (["-map", "0:a:0"] if sound[place] else [])
        command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-sc_threshold", "0"]
        for place, output in enumerate(outputs):
            h264 = output["videoDescription"]["codecSettings"]["h264Settings"]
            rate = h264.get("bitrate") or h264["maxBitrate"]
            gop = h264.get("gopSize", 2)
            command += [f"-b:v:{place}", str(rate), f"-maxrate:v:{place}", str(rate)]
            command += [f"-bufsize:v:{place}", str(rate * 3 // 2)]
            command += [f"-force_key_frames:v:{place}", f"expr:gte(t,n_forced*{gop})"]
        if any(sound):
            command += ["-c:a", "aac", "-b:a", str(_audio_rate(outputs)), "-ar", "48000", "-ac", "2"]
        names, audio = [], 0
        for place, output in enumerate(outputs):
            own = f"v:{place}"
            if sound[place]:
                own, audio = f"{own},a:{audio}", audio + 1
            names.append(f"{own},name:{output['nameModifier']}")
        command += ["-f", "hls", "-hls_time", str(self._settings["segmentLength"])]
        command += ["-hls_playlist_type", "vod", "-hls_flags", "independent_segments"]
        command += ["-master_pl_name", f"{self.base}.m3u8", "-var_stream_map", " ".join(names)]
        command += ["-hls_segment_filename", f"{self._folder}/{self.base}%v_%05d.ts"]
        return command + [f"{self._folder}/{self.base}%v.m3u8"]

    def run(self, on_percent, is_cancelled):
        """Whether it came to the end: False when it was cancelled."""
        # Not a pipe: nobody reads it before the end, and a damaged source says more than a pipe holds.
        complaints = tempfile.TemporaryFile(mode="w+")
        process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True
        )
        with complaints, process:
            for line in process.stdout:
                if is_cancelled():
                    process.terminate()
                    return False
                name, _, value = line.strip().partition("=")
                if name == "out_time_us" and value.lstrip("-").isdigit() and self._seconds:
                    on_percent(max(0, min(99, int(int(value) / 1e4 / self._seconds))))
            process.wait()
            complaints.seek(0)
            wrong = complaints.read(1000)
        if process.returncode:
            raise JobError(1999, wrong[:200].strip() or "ffmpeg failed")
        return True

    def details(self):
        root = f"s3://{self.bucket}/{self.prefix}{self.base}"
        return {
            "type": "HLS_GROUP",
            "playlistFilePaths": [f"{root}.m3u8"],
            "outputDetails": [
                {
                    "outputFilePaths": [f"{root}{o['nameModifier']}.m3u8"],
                    "durationInMs": int(self._seconds * 1000),
                    "videoDetails": _size(o["videoDescription"]),
                }
                for o in self._outputs
            ],
        }


def capture(output, source, folder, base):
    """Pictures in regular distances; gives their paths, named as the service does, from zero on."""
    settings = output["videoDescription"]["codecSettings"].get("frameCaptureSettings") or {}
    rate = f"{settings.get('framerateNumerator', 1)}/{settings.get('framerateDenominator', 1)}"
    graph = f"fps={rate}:round=up,{_scale(output['videoDescription'])}"
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *INPUT]
    command += ["-i", source, "-vf", graph, "-frames:v", str(settings.get("maxCaptures", 10000000))]
    quality = max(2, 31 - settings.get("quality", 80) * 29 // 100)
    command += ["-start_number", "0", "-q:v", str(quality)]
    name = f"{base}{output.get('nameModifier', '')}"
    run = subprocess.run(
        [*command, f"{folder}/{name}.%07d.jpg"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise JobError(1999, run.stderr[:200].strip() or "ffmpeg failed")
    return sorted(file for file in os.listdir(folder) if file.startswith(name + "."))


def _scale(video):
    return f"scale={video.get('width', -2)}:{video.get('height', -2)}"


def _size(video):
    return {"widthInPx": video.get("width", 0), "heightInPx": video.get("height", 0)}


def _audio_rate(outputs):
    for output in outputs:
        for audio in output.get("audioDescriptions") or []:
            rate = (audio.get("codecSettings") or {}).get("aacSettings", {}).get("bitrate")
            if rate:
                return rate
    return 128000
