//! Offers of browsers and the answers that they took, as `tests/sdp/capture.mjs` wrote them.

/// One offer of a scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) offer: &'static str,
    pub(crate) answer: &'static str,
    /// What is published: `<mid>=<source>`, divided by spaces.
    pub(crate) tracks: &'static str,
}

macro_rules! step {
    ($name:literal, $tracks:literal) => {
        Step {
            name: $name,
            offer: include_str!(concat!("../../../tests/sdp/", $name, ".sdp")),
            answer: include_str!(concat!("../../../tests/sdp/", $name, ".answer.sdp")),
            tracks: $tracks,
        }
    };
}

/// Each a session: offers in their order.
pub(crate) const SCENARIOS: &[&[Step]] = &[
    &[
        step!("chromium_call_1_publish", "0=microphone 1=camera"),
        step!("chromium_call_2_screen", "0=microphone 1=camera 2=screen"),
        step!("chromium_call_3_removed", "0=microphone 1=camera"),
        step!("chromium_call_4_back", "0=microphone 1=camera 2=screen"),
        step!("chromium_call_5_stopped", "0=microphone 1=camera"),
        step!("chromium_call_6_recycled", "0=microphone 1=camera 3=screen"),
        step!("chromium_call_7_pool", "0=microphone 1=camera 3=screen"),
        step!("chromium_call_8_more", "0=microphone 1=camera 3=screen"),
        step!("chromium_call_9_restart", "0=microphone 1=camera 3=screen"),
    ],
    &[
        step!("chromium_pool_1_first", ""),
        step!("chromium_pool_2_publish", "9=microphone 10=camera"),
    ],
    &[step!("chromium_vp8_1_first", "")],
    &[
        step!("chromium_camera_1_publish", "0=microphone 1=camera"),
        step!("chromium_camera_2_off", "0=microphone"),
        step!("chromium_camera_3_on", "0=microphone 1=camera"),
    ],
    &[
        step!("chromium_naive_1_first", "0=microphone 1=camera"),
        step!("chromium_naive_2_again", "0=microphone 1=camera"),
    ],
    &[
        step!("chromium_data_1_first", ""),
        step!("chromium_data_2_again", ""),
    ],
    &[
        step!("chromium_paused_1_first", "0=camera"),
        step!("chromium_paused_2_unpaused", "0=camera"),
    ],
    &[
        step!("chromium_refused_1_first", "0=microphone"),
        step!("chromium_refused_2_named", "0=microphone 1=camera"),
    ],
    &[
        step!("firefox_call_1_publish", "0=microphone 1=camera"),
        step!("firefox_call_2_screen", "0=microphone 1=camera 2=screen"),
        step!("firefox_call_3_removed", "0=microphone 1=camera"),
        step!("firefox_call_4_back", "0=microphone 1=camera 2=screen"),
        step!("firefox_call_5_stopped", "0=microphone 1=camera"),
        step!("firefox_call_6_recycled", "0=microphone 1=camera 3=screen"),
        step!("firefox_call_7_pool", "0=microphone 1=camera 3=screen"),
        step!("firefox_call_8_more", "0=microphone 1=camera 3=screen"),
        step!("firefox_call_9_restart", "0=microphone 1=camera 3=screen"),
    ],
    &[
        step!("firefox_pool_1_first", ""),
        step!("firefox_pool_2_publish", "9=microphone 10=camera"),
    ],
    &[step!("firefox_vp8_1_first", "")],
    &[
        step!("firefox_camera_1_publish", "0=microphone 1=camera"),
        step!("firefox_camera_2_off", "0=microphone"),
        step!("firefox_camera_3_on", "0=microphone 1=camera"),
    ],
    &[
        step!("firefox_naive_1_first", "0=microphone 1=camera"),
        step!("firefox_naive_2_again", "0=microphone 1=camera"),
    ],
    &[
        step!("firefox_data_1_first", ""),
        step!("firefox_data_2_again", ""),
    ],
    &[
        step!("firefox_paused_1_first", "0=camera"),
        step!("firefox_paused_2_unpaused", "0=camera"),
    ],
    &[
        step!("firefox_refused_1_first", "0=microphone"),
        step!("firefox_refused_2_named", "0=microphone 1=camera"),
    ],
];

pub(crate) fn scenario(prefix: &str) -> &'static [Step] {
    let mut all = SCENARIOS.iter();
    all.find(|steps| steps[0].name.starts_with(prefix))
        .expect("a scenario")
}

pub(crate) fn steps() -> impl Iterator<Item = &'static Step> {
    SCENARIOS.iter().copied().flatten()
}
