//! What pictures are made of: the frame of an SVG file, lines, texts and colours.

use std::fmt::Write;

/// Titles and figures.
pub(crate) const INK: &str = "#1f2933";
/// Names and explanations.
pub(crate) const FAINT: &str = "#52606d";
/// Lines that a reader follows to an axis.
pub(crate) const GRID: &str = "#e4e7eb";

/// The beginning of a picture, on white.
pub(crate) fn begin(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    )
}

/// The whole picture.
pub(crate) fn end(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

/// A filled rectangle.
pub(crate) fn rectangle(svg: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\" fill=\"{colour}\"/>"
    );
}

/// A straight line.
pub(crate) fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    );
}

/// A text, with the attributes `style`.
pub(crate) fn text(svg: &mut String, x: f64, y: f64, anchor: &str, colour: &str, style: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\" {style}>{content}</text>"
    );
}

/// `0.1`, `1`, `20`: ticks have one digit that counts, and sums of powers do not print as such.
pub(crate) fn label(tick: f64) -> String {
    if tick >= 0.95 { format!("{tick:.0}") } else { format!("{tick:.4}").trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.0001, 0.05, 1.0, 200.0].map(label), ["0.0001", "0.05", "1", "200"]);
    }
}
