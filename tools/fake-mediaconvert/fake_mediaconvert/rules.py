"""Rules of the service that its model does not have."""

import re

from .aws import split

# What the group's type asks for.
GROUPS = {
    "HLS_GROUP_SETTINGS": "hlsGroupSettings",
    "FILE_GROUP_SETTINGS": "fileGroupSettings",
    "CMAF_GROUP_SETTINGS": "cmafGroupSettings",
    "DASH_ISO_GROUP_SETTINGS": "dashIsoGroupSettings",
    "MS_SMOOTH_GROUP_SETTINGS": "msSmoothGroupSettings",
}
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}")


def check(body, has_bucket):
    """What is wrong with this request to create a job, which the model has let pass."""
    errors = []
    if not ROLE.fullmatch(body["role"]):
        errors.append("role: is no ARN of a role")
    settings = body["settings"]
    inputs, groups = settings.get("inputs") or [], settings.get("outputGroups") or []
    if not inputs:
        errors.append("settings.inputs: at least one is needed")
    if not groups:
        errors.append("settings.outputGroups: at least one is needed")
    for place, source in enumerate(inputs):
        if not source.get("fileInput"):
            errors.append(f"settings.inputs[{place}]: fileInput is needed")
    names = {name for source in inputs for name in source.get("audioSelectors") or {}}
    names |= {name for source in inputs for name in source.get("audioSelectorGroups") or {}}
    for place, group in enumerate(groups):
        _group(group, f"settings.outputGroups[{place}]", names, has_bucket, errors)
    return errors


def _group(group, path, selectors, has_bucket, errors):
    settings = group.get("outputGroupSettings") or {}
    kind = settings.get("type")
    member = GROUPS.get(kind)
    own = settings.get(member) if member else None
    if own is None:
        errors.append(f"{path}.outputGroupSettings: the type and its settings are needed")
        return
    if kind == "HLS_GROUP_SETTINGS":
        for needed in ("segmentLength", "minSegmentLength"):
            if own.get(needed) is None:
                errors.append(f"{path}.{member}: {needed} is needed")
    destination = own.get("destination")
    if not destination:
        errors.append(f"{path}.{member}: destination is needed")
    elif not has_bucket(split(destination)[0]):
        errors.append(f"{path}.{member}.destination: there is no such bucket")
    outputs = group.get("outputs") or []
    if not outputs:
        errors.append(f"{path}.outputs: at least one is needed")
    modifiers = [output.get("nameModifier") for output in outputs]
    if len(set(modifiers)) != len(modifiers):
        errors.append(f"{path}: each output needs its own nameModifier")
    if kind != "FILE_GROUP_SETTINGS" and not all(modifiers):
        errors.append(f"{path}: each output needs a nameModifier")
    for place, output in enumerate(outputs):
        _output(output, f"{path}.outputs[{place}]", kind, selectors, errors)


# Which containers a group can hold. A file group holds any.
CONTAINERS = {"HLS_GROUP_SETTINGS": {"M3U8"}, "CMAF_GROUP_SETTINGS": {"CMFC"}, "DASH_ISO_GROUP_SETTINGS": {"MPD"}}


def _output(output, path, kind, selectors, errors):
    video, audios = output.get("videoDescription"), output.get("audioDescriptions") or []
    if not video and not audios and not output.get("captionDescriptions"):
        errors.append(f"{path}: has neither pictures nor sound")
    container = (output.get("containerSettings") or {}).get("container")
    if container is None and not output.get("extension"):
        errors.append(f"{path}: containerSettings.container is needed")
    if kind in CONTAINERS and container not in CONTAINERS[kind]:
        errors.append(f"{path}: {container} does not fit {kind}")
    for place, audio in enumerate(audios):
        name = audio.get("audioSourceName")
        if name is not None and name not in selectors:
            errors.append(f"{path}.audioDescriptions[{place}]: there is no audio selector {name!r}")
    if video:
        _video(video, f"{path}.videoDescription", kind, container, errors)


def _video(video, path, kind, container, errors):
    for side in ("width", "height"):
        if (video.get(side) or 0) % 2:
            errors.append(f"{path}: {side} must be even")
    codec = video.get("codecSettings") or {}
    if codec.get("codec") == "FRAME_CAPTURE":
        if kind != "FILE_GROUP_SETTINGS":
            errors.append(f"{path}: FRAME_CAPTURE goes into a FILE_GROUP only")
        if container != "RAW":
            errors.append(f"{path}: FRAME_CAPTURE needs the container RAW")
    if codec.get("codec") == "H_264" and not codec.get("h264Settings"):
        errors.append(f"{path}: h264Settings are needed")
    h264 = codec.get("h264Settings") or {}
    mode = h264.get("rateControlMode")
    if mode == "QVBR" and not h264.get("maxBitrate"):
        errors.append(f"{path}: QVBR needs maxBitrate")
    if mode == "QVBR" and h264.get("bitrate"):
        errors.append(f"{path}: QVBR takes no bitrate")
    if mode in ("CBR", "VBR") and not h264.get("bitrate"):
        errors.append(f"{path}: {mode} needs bitrate")
