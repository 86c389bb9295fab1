//! The job: one HLS group with a QVBR rendition for each rung, one file group with pictures in regular distances.

use super::outputs::{INDEX, THUMB};
use super::rung::Rung;
use super::transcoder::MediaConvertOptions;
use crate::model::ClipError;
use crate::ports::{Order, TranscodeError};
use aws_sdk_mediaconvert::types::*;

/// Settings of this order's job.
///
/// # Errors
/// [`TranscodeError::Refused`] for what has no pictures, or a ladder that MediaConvert would not take.
pub(super) fn settings(
    options: &MediaConvertOptions,
    order: &Order,
    ladder: &[Rung],
) -> Result<JobSettings, TranscodeError> {
    check(order, ladder)?;
    let at = |name: &str| format!("s3://{}/{}{name}", options.bucket, order.processed);
    let outputs = ladder
        .iter()
        .map(|rung| rendition(order, rung))
        .collect::<Result<Vec<_>, _>>()?;
    let hls = HlsGroupSettings::builder()
        .destination(at(INDEX))
        .segment_length(whole(order.segment_s)?)
        .min_segment_length(0)
        .segment_control(HlsSegmentControl::SegmentedFiles)
        .directory_structure(HlsDirectoryStructure::SingleDirectory)
        .manifest_duration_format(HlsManifestDurationFormat::FloatingPoint)
        .manifest_compression(HlsManifestCompression::None)
        .codec_specification(HlsCodecSpecification::Rfc6381)
        .stream_inf_resolution(HlsStreamInfResolution::Include)
        .program_date_time(HlsProgramDateTime::Exclude)
        .build();
    let hls = OutputGroupSettings::builder()
        .r#type(OutputGroupType::HlsGroupSettings)
        .hls_group_settings(hls)
        .build();
    let files = FileGroupSettings::builder().destination(at(THUMB)).build();
    let files = OutputGroupSettings::builder()
        .r#type(OutputGroupType::FileGroupSettings)
        .file_group_settings(files)
        .build();
    Ok(JobSettings::builder()
        .inputs(input(options, order))
        .output_groups(
            OutputGroup::builder()
                .name("hls")
                .output_group_settings(hls)
                .set_outputs(Some(outputs))
                .build(),
        )
        .output_groups(
            OutputGroup::builder()
                .name("thumbnails")
                .output_group_settings(files)
                .outputs(pictures(order, ladder)?)
                .build(),
        )
        .build())
}

/// The one audio selector.
const SOUND: &str = "Audio Selector 1";

fn check(order: &Order, ladder: &[Rung]) -> Result<(), TranscodeError> {
    if order.source.video.is_none() {
        return Err(refused(
            "NO_PICTURES",
            "There are no pictures in this file.",
        ));
    }
    let is_name = |name: &str| {
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let is_good = |rung: &Rung| {
        is_name(&rung.name)
            && rung.width.is_multiple_of(2)
            && rung.height.is_multiple_of(2)
            && (32..=8192).contains(&rung.width)
            && (32..=8192).contains(&rung.height)
            && (1_000..=1_152_000_000).contains(&rung.max_bitrate)
            && (1..=10).contains(&rung.quality)
            && (1.0..=120.0).contains(&rung.fps)
    };
    let names: std::collections::BTreeSet<_> = ladder.iter().map(|rung| &rung.name).collect();
    let fits = !ladder.is_empty() && names.len() == ladder.len() && ladder.iter().all(is_good);
    let segment = order.segment_s >= 2 && order.segment_s.is_multiple_of(2);
    if !fits || !segment {
        return Err(refused(
            "TRANSCODE_REFUSED",
            "There is no way to convert this file.",
        ));
    }
    Ok(())
}

fn input(options: &MediaConvertOptions, order: &Order) -> Input {
    let video = VideoSelector::builder().rotate(InputRotate::Auto).build();
    let input = Input::builder()
        .file_input(format!("s3://{}/{}", options.bucket, order.source_key))
        .timecode_source(InputTimecodeSource::Zerobased)
        .video_selector(video);
    if order.source.audio.is_none() {
        return input.build();
    }
    let sound = AudioSelector::builder()
        .default_selection(AudioDefaultSelection::Default)
        .build();
    input.audio_selectors(SOUND, sound).build()
}

fn rendition(order: &Order, rung: &Rung) -> Result<Output, TranscodeError> {
    let h264 = H264Settings::builder()
        .rate_control_mode(H264RateControlMode::Qvbr)
        .qvbr_settings(
            H264QvbrSettings::builder()
                .qvbr_quality_level(i32::from(rung.quality))
                .build(),
        )
        .max_bitrate(whole(rung.max_bitrate)?)
        .quality_tuning_level(H264QualityTuningLevel::SinglePassHq)
        .codec_profile(H264CodecProfile::Main)
        .gop_size(GOP_S)
        .gop_size_units(H264GopSizeUnits::Seconds)
        .gop_closed_cadence(1)
        // A key frame of its own at a cut would stand in one rendition and not in another.
        .scene_change_detect(H264SceneChangeDetect::Disabled)
        .par_control(H264ParControl::Specified)
        .par_numerator(1)
        .par_denominator(1);
    let is_own = order
        .source
        .video
        .as_ref()
        .is_some_and(|v| (v.fps - rung.fps).abs() < 0.01);
    let h264 = if is_own {
        h264.framerate_control(H264FramerateControl::InitializeFromSource)
    } else {
        let (numerator, denominator) = fraction(rung.fps);
        h264.framerate_control(H264FramerateControl::Specified)
            .framerate_numerator(numerator)
            .framerate_denominator(denominator)
    };
    let codec = VideoCodecSettings::builder()
        .codec(VideoCodec::H264)
        .h264_settings(h264.build())
        .build();
    let video = VideoDescription::builder()
        .width(whole(rung.width)?)
        .height(whole(rung.height)?)
        .codec_settings(codec)
        .build();
    let container = ContainerSettings::builder()
        .container(ContainerType::M3U8)
        .build();
    let output = Output::builder()
        .name_modifier(format!("_{}", rung.name))
        .container_settings(container)
        .video_description(video);
    Ok(if order.source.audio.is_some() {
        output.audio_descriptions(sound()).build()
    } else {
        output.build()
    })
}

/// Seconds between key frames: every segment length is a multiple.
const GOP_S: f64 = 2.0;

fn sound() -> AudioDescription {
    let aac = AacSettings::builder()
        .bitrate(128_000)
        .coding_mode(AacCodingMode::CodingMode20)
        .sample_rate(48_000)
        .build();
    let codec = AudioCodecSettings::builder()
        .codec(AudioCodec::Aac)
        .aac_settings(aac)
        .build();
    AudioDescription::builder()
        .audio_source_name(SOUND)
        .codec_settings(codec)
        .build()
}

/// At most [`PICTURES`], for the poster and the sprite; none closer than two seconds.
fn pictures(order: &Order, ladder: &[Rung]) -> Result<Output, TranscodeError> {
    let every = order.source.duration.as_secs().div_ceil(PICTURES).max(2);
    let frames = FrameCaptureSettings::builder()
        .framerate_numerator(1)
        .framerate_denominator(i32::try_from(every).unwrap_or(i32::MAX))
        .max_captures(i32::try_from(PICTURES).unwrap_or(i32::MAX))
        .quality(80)
        .build();
    let codec = VideoCodecSettings::builder()
        .codec(VideoCodec::FrameCapture)
        .frame_capture_settings(frames)
        .build();
    // As large as the rendition nearest to 360 lines: a poster should be no thumbnail, and no photograph.
    let size = ladder
        .iter()
        .min_by_key(|r| r.width.min(r.height).abs_diff(360));
    let size = size.map_or((640, 360), |rung| (rung.width, rung.height));
    let video = VideoDescription::builder()
        .width(whole(size.0)?)
        .height(whole(size.1)?)
        .codec_settings(codec)
        .build();
    let container = ContainerSettings::builder()
        .container(ContainerType::Raw)
        .build();
    Ok(Output::builder()
        .container_settings(container)
        .video_description(video)
        .build())
}

const PICTURES: u64 = 100;

/// A frame rate as MediaConvert wants it: of 1001 where it is one of television's.
fn fraction(fps: f64) -> (i32, i32) {
    for whole in [24, 30, 60, 120] {
        if (fps - f64::from(whole) * 1000.0 / 1001.0).abs() < 0.005 {
            return (whole * 1000, 1001);
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked: between 1 and 120"
    )]
    let thousandths = (fps * 1000.0).round() as i32;
    (thousandths, 1000)
}

fn whole(number: u32) -> Result<i32, TranscodeError> {
    i32::try_from(number).map_err(|_| refused("TRANSCODE_REFUSED", "A number is too large."))
}

fn refused(reason: &str, message: &str) -> TranscodeError {
    TranscodeError::Refused(ClipError {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retryable: false,
        provider_code: None,
    })
}
