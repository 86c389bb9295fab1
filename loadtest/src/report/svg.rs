//! Plots, drawn by hand: readable in light and dark, without scripts or fonts of their own.

use std::fmt::Write as _;

/// A line of a plot: its name and its points (share in percent, µs).
pub type Line<'a> = (String, &'a [(f64, u64)]);

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// Left, right, top, bottom of the axes.
const FRAME: (f64, f64, f64, f64) = (60.0, 540.0, 40.0, 310.0);
/// Told apart also by those who don't see all colours (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
];

/// Shares of latencies below a time, on a logarithmic scale of time.
#[must_use]
pub fn distribution(title: &str, lines: &[Line<'_>]) -> String {
    let (left, right, top, bottom) = FRAME;
    let all = || {
        lines
            .iter()
            .flat_map(|(_, points)| points.iter().map(|p| p.1.max(1) as f64))
    };
    let least = all().fold(f64::INFINITY, f64::min).log10().floor();
    let most = all().fold(1.0, f64::max).log10().ceil();
    let (least, most) = if least.is_finite() && least < most {
        (least, most)
    } else {
        (0.0, 1.0)
    };
    let x = |us: f64| left + (us.max(1.0).log10() - least) / (most - least) * (right - left);
    let y = |share: f64| bottom - share / 100.0 * (bottom - top);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\">\n\
         <title>{title}</title>\n<text x=\"{left}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    );
    let mut put = |text: String| {
        // A String takes everything.
        let _ = writeln!(svg, "{text}");
    };
    for share in [0, 25, 50, 75, 99] {
        let at = y(f64::from(share));
        put(format!(
            "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#7774\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{share} %</text>",
            left - 6.0,
            at + 4.0
        ));
    }
    let mut power = least;
    while power <= most {
        let at = x(10_f64.powf(power));
        put(format!(
            "<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#7774\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            time(10_f64.powf(power))
        ));
        power += 1.0;
    }
    for (n, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let path: Vec<String> = points
            .iter()
            .map(|&(share, us)| format!("{:.1} {:.1}", x(us as f64), y(share)))
            .collect();
        let legend = top + 16.0 * n as f64 + 8.0;
        put(format!(
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>\n\
             <text x=\"{:.1}\" y=\"{legend:.1}\" fill=\"{colour}\">{name}</text>",
            path.join("L"),
            right + 14.0
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Bars that belong together: what they have in common, and the name and value of each.
pub type Group = (String, Vec<(String, f64)>);

/// Values side by side, group by group, with the values written above.
#[must_use]
pub fn bars(title: &str, unit: &str, groups: &[Group]) -> String {
    let (left, right, top, bottom) = FRAME;
    let values = groups
        .iter()
        .flat_map(|(_, bars)| bars.iter().map(|(_, value)| *value));
    let most = values.fold(f64::MIN_POSITIVE, f64::max);
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in groups.iter().flat_map(|(_, bars)| bars) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\">\n\
         <title>{title}</title>\n<text x=\"{left}\" y=\"22\" font-size=\"14\">{title}, {unit}</text>\n\
         <path d=\"M{left} {bottom}H{right}\" stroke=\"#7774\"/>\n"
    );
    let mut put = |text: String| {
        // A String takes everything.
        let _ = writeln!(svg, "{text}");
    };
    let step = (right - left) / groups.len().max(1) as f64;
    let width = step * 0.8 / names.len().max(1) as f64;
    for (n, (group, bars)) in groups.iter().enumerate() {
        let start = left + step * (n as f64 + 0.1);
        put(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{group}</text>",
            start + step * 0.4,
            bottom + 18.0
        ));
        for (name, value) in bars {
            let place = names.iter().position(|other| other == name).unwrap_or(0);
            let (x, height) = (
                start + width * place as f64,
                value / most * (bottom - top - 20.0),
            );
            put(format!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.2}</text>",
                bottom - height,
                width * 0.9,
                COLOURS[place % COLOURS.len()],
                x + width * 0.45,
                bottom - height - 4.0
            ));
        }
    }
    for (n, name) in names.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let legend = top + 16.0 * n as f64 + 8.0;
        put(format!(
            "<text x=\"{:.1}\" y=\"{legend:.1}\" fill=\"{colour}\">{name}</text>",
            right + 14.0
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

fn time(us: f64) -> String {
    if us >= 1e6 {
        format!("{} s", us / 1e6)
    } else if us >= 1e3 {
        format!("{} ms", us / 1e3)
    } else {
        format!("{us} µs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_drawn_and_the_greatest_fits() {
        let bar = |name: &str, value| (name.to_owned(), value);
        let groups = [
            ("50".to_owned(), vec![bar("a", 1.5), bar("b", 20.25)]),
            ("100".to_owned(), vec![bar("b", 3.0)]),
        ];
        let svg = bars("t", "µs", &groups);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("20.25") && svg.contains("t, µs"), "{svg}");
    }

    #[test]
    fn every_line_is_drawn_inside_the_frame() {
        let points = [(0.0, 120), (50.0, 900), (100.0, 80_000)];
        let svg = distribution("t", &[("a".into(), &points), ("b".into(), &points)]);
        assert_eq!(svg.matches("stroke-width").count(), 2);
        assert!(svg.contains("100 µs") && svg.contains("100 ms"), "{svg}");
    }
}
