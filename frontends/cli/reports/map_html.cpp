// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "cli/reports/map_picture.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/version.hpp"

namespace qed::cli {
namespace {

constexpr std::uint64_t kColumns = 64;
constexpr std::uint64_t kCellPixels = 14;
constexpr std::uint64_t kGapPixels = 2;

// Colours that also differ in lightness, so that they can be distinguished without colour vision.
constexpr std::string_view kColours = R"(
svg{--data:#1d4ed8;--backing:#93b4f5;--zero:#a8a29e;--nothing:#eceae7;--tables:#d97706;
--header:#701a75;--unused:#f87171;forced-color-adjust:none;print-color-adjust:exact}
@media(prefers-color-scheme:dark){svg{--data:#60a5fa;--backing:#2b56a0;--zero:#8a817b;
--nothing:#2b2725;--tables:#fbbf24;--header:#e879f9;--unused:#ef4444}}
.data{fill:var(--data)}.backing{fill:var(--backing)}.zero{fill:var(--zero)}
.nothing{fill:var(--nothing)}.tables{fill:var(--tables)}.header{fill:var(--header)}
.unused{fill:var(--unused)}
)";

constexpr std::string_view kPageStyle = R"(
:root{color-scheme:light dark;--ink:#1c1917;--paper:#fff;--panel:#f7f6f5;--line:#d6d3d1;
--soft:#57534e;--warn:#9a3412}
@media(prefers-color-scheme:dark){:root{--ink:#f5f5f4;--paper:#171412;--panel:#211d1b;
--line:#44403c;--soft:#b8b0a9;--warn:#fdba74}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:76rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:0 0 .75rem}p{margin:.5rem 0;max-width:48rem}
section{margin-top:2.5rem}.scroll{overflow-x:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;
margin:1.5rem 0}
.tiles div{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;
padding:.6rem .9rem}
dt{color:var(--soft);font-size:.875rem}dd{margin:0;font-size:1.35rem;font-weight:600}
dd small{display:block;font-size:.875rem;font-weight:400;color:var(--soft)}
.warn{border-left:.3rem solid var(--warn);padding:.25rem .9rem;color:var(--warn)}
table{border-collapse:collapse}th,td{text-align:left;padding:.25rem .9rem .25rem 0;
border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
thead th{color:var(--soft);font-weight:400;font-size:.875rem}tbody th{font-weight:400}
td.n,th.n{text-align:right;white-space:nowrap}td.file{overflow-wrap:anywhere;min-width:8rem}
.space{display:grid;grid-template-columns:25rem minmax(0,1fr);gap:1.5rem}
@media(max-width:60rem){.space{grid-template-columns:minmax(0,1fr)}}
.space table{width:100%}figure{margin:0}
svg.map,svg.order,svg.bar{width:100%;height:auto;display:block}
svg.bar{height:.75rem;margin:0 0 .75rem;border-radius:.25rem}
svg.order{max-height:26rem;background:var(--panel);border:1px solid var(--line)}
svg.key{width:1rem;height:1rem;vertical-align:-.15rem;margin-right:.5rem}
.cursor{fill:none;stroke:var(--ink);stroke-width:2.5}
input[type=range]{width:100%;margin:.5rem 0;accent-color:var(--soft)}
input[type=range]:focus-visible{outline:3px solid #2563eb;outline-offset:2px}
output{display:block;min-height:3em}label,figcaption,.hint,footer{color:var(--soft);
font-size:.875rem}footer{margin-top:2.5rem}
@media print{input,label,output{display:none}}
)";

// Moves a frame over a map with the slider or the mouse, and describes the selected cell.
constexpr std::string_view kScript = R"(
document.querySelectorAll('[data-cells]').forEach(f=>{
const cells=JSON.parse(f.dataset.cells),names=JSON.parse(f.dataset.names),size=+f.dataset.size;
const svg=f.querySelector('svg.map'),slider=f.querySelector('input'),out=f.querySelector('output');
const cursor=svg.querySelector('.cursor'),columns=+f.dataset.columns,step=+f.dataset.step;
const human=b=>{let u=0;while(b>=1000&&u<6){b/=1024;u++}
return (+b.toPrecision(4))+' '+['B','KiB','MiB','GiB','TiB','PiB','EiB'][u]};
const show=()=>{const i=+slider.value,c=cells[i],sum=c.reduce((a,b)=>a+b,0)||1;
cursor.setAttribute('x',i%columns*step);cursor.setAttribute('y',Math.floor(i/columns)*step);
cursor.removeAttribute('visibility');
const share=b=>Math.max(1,Math.round(100*b/sum))+'% ';
const text='From '+human(i*size)+': '+c.map((b,k)=>b?share(b)+names[k]:'')
.filter(Boolean).join(', ');out.textContent=text;slider.setAttribute('aria-valuetext',text)};
slider.addEventListener('input',show);
svg.addEventListener('mousemove',e=>{const p=svg.createSVGPoint();p.x=e.clientX;p.y=e.clientY;
const q=p.matrixTransform(svg.getScreenCTM().inverse());
const i=Math.floor(q.y/step)*columns+Math.floor(q.x/step);
if(q.x>=0&&q.x<columns*step&&i>=0&&i<cells.length){slider.value=i;show()}})});
)";

std::string percent(std::uint64_t part, std::uint64_t whole) {
    const double share =
        whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    return fmt::format("{:.1f}%", share);
}

/// Appends the parts of a cell next to each other, in the order of the shades.
void append_cell(std::string& svg, const SpaceMap& space, std::uint64_t index) {
    const auto& cell = space.cells[index];
    const std::uint64_t x = index % kColumns * (kCellPixels + kGapPixels);
    const std::uint64_t y = index / kColumns * (kCellPixels + kGapPixels);
    std::uint64_t sum = 0;
    for (const std::uint64_t bytes : cell)
        sum += bytes;
    double left = static_cast<double>(x);
    for (std::size_t shade = 0; shade < kShades; ++shade) {
        if (cell[shade] == 0) continue;
        const double width = static_cast<double>(kCellPixels) * static_cast<double>(cell[shade]) /
                             static_cast<double>(sum);
        svg += fmt::format(R"(<rect class="{}" x="{:.4g}" y="{}" width="{:.3g}" height="{}"/>)",
                           space.shades[shade].key, left, y, width, kCellPixels);
        left += width;
    }
}

void append_legend(std::string& html, const SpaceMap& space) {
    const auto totals = space.totals();
    html +=
        "<svg class=\"bar\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" "
        "aria-hidden=\"true\">";
    double left = 0;
    for (std::size_t i = 0; i < kShades; ++i) {
        const double width = space.bytes == 0 ? 0
                                              : 100.0 * static_cast<double>(totals[i]) /
                                                    static_cast<double>(space.bytes);
        html += fmt::format(R"(<rect class="{}" x="{:.4g}" width="{:.4g}" height="1"/>)",
                            space.shades[i].key, left, width);
        left += width;
    }
    html +=
        "</svg>\n<table><thead><tr><th scope=\"col\">space</th><th scope=\"col\" class=\"n\">"
        "bytes</th><th scope=\"col\" class=\"n\">share</th></tr></thead><tbody>";
    for (std::size_t i = 0; i < kShades; ++i) {
        html += fmt::format(
            "<tr><th scope=\"row\"><svg class=\"key\" viewBox=\"0 0 10 10\" "
            "aria-hidden=\"true\"><rect class=\"{}\" width=\"10\" height=\"10\"/></svg>{}</th>"
            "<td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            space.shades[i].key, space.shades[i].name, human_size(totals[i]),
            percent(totals[i], space.bytes));
    }
    html += "</tbody></table>\n";
}

/// The bytes of each cell, for the slider.
std::string cells_json(const SpaceMap& space) {
    std::string json = "[";
    for (std::size_t i = 0; i < space.cells.size(); ++i) {
        json += fmt::format("{}[{}]", i == 0 ? "" : ",", fmt::join(space.cells[i], ","));
    }
    return json + "]";
}

std::string names_json(const SpaceMap& space) {
    std::string json = "[";
    for (std::size_t i = 0; i < kShades; ++i) {
        json += fmt::format("{}&quot;{}&quot;", i == 0 ? "" : ",", space.shades[i].name);
    }
    return json + "]";
}

void append_space(std::string& html, const SpaceMap& space, std::string_view id,
                  std::string_view title, std::string_view what) {
    html += fmt::format("<section aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}</h2>\n",
                        id, title);
    if (space.cells.empty()) {
        html += "<p>It is empty.</p></section>\n";
        return;
    }
    html += fmt::format(
        "<div class=\"space\" data-cells=\"{}\" data-names=\"{}\" data-size=\"{}\" "
        "data-columns=\"{}\" data-step=\"{}\"><div>\n",
        cells_json(space), names_json(space), space.cell_bytes, kColumns, kCellPixels + kGapPixels);
    append_legend(html, space);
    html += fmt::format(
        "<p><label for=\"{0}-at\">Look at a cell: move the slider, or point at the map</label>\n"
        "<input type=\"range\" id=\"{0}-at\" min=\"0\" max=\"{1}\" value=\"0\">\n"
        "<output for=\"{0}-at\" aria-live=\"polite\"></output></p></div>\n<figure>",
        id, space.cells.size() - 1);
    html += space_svg(space, id,
                      fmt::format("Map of {}: {} cells of {}", what, space.cells.size(),
                                  human_size(space.cell_bytes)),
                      "");
    html +=
        fmt::format("<figcaption>A cell is {}, a row {}.</figcaption></figure></div></section>\n",
                    human_size(space.cell_bytes), human_size(space.cell_bytes * kColumns));
}

double mean_piece(const MapPicture& picture) {
    if (picture.runs == 0) return 0;
    return static_cast<double>(picture.data_clusters) / static_cast<double>(picture.runs);
}

/// Appends the marks of a row; adjacent marks become one rectangle.
void append_order_row(std::string& path, const OrderMap& order, std::size_t row) {
    for (std::size_t column = 0; column < OrderMap::kColumns; ++column) {
        const std::size_t begin = column;
        while (column < OrderMap::kColumns && order.at(column, row))
            ++column;
        if (column == begin) continue;
        path += fmt::format("M{} {}h{}v1h-{}z", begin, OrderMap::kRows - 1 - row, column - begin,
                            column - begin);
    }
}

void append_order(std::string& html, const MapPicture& picture) {
    html += "<section aria-labelledby=\"order\"><h2 id=\"order\">Fragmentation</h2>\n";
    if (picture.runs == 0) {
        html += "<p>The image holds no data of its own.</p></section>\n";
        return;
    }
    const std::string pieces = fmt::format(
        "The data lies in {} piece{} of {:.1f} clusters on average; the longest has {}",
        picture.runs, picture.runs == 1 ? "" : "s", mean_piece(picture), picture.longest_run);
    std::string path;
    for (std::size_t row = 0; row < OrderMap::kRows; ++row)
        append_order_row(path, picture.order, row);
    html += fmt::format(
        "<p>{0}. Where the marks rise evenly, reading the disk in order reads the file in order. "
        "Where they are scattered it does not; <code>qed convert</code> writes a new file in "
        "order.</p>\n<figure><svg class=\"order\" role=\"img\" aria-label=\"Place in the file by "
        "place on the disk. {0}.\" viewBox=\"0 0 {1} {2}\" preserveAspectRatio=\"none\" "
        "shape-rendering=\"crispEdges\"><path "
        "class=\"data\" d=\"{3}\"/></svg>\n<figcaption>From left to right: the disk, 0 to {4}. "
        "From "
        "bottom to top: the file, 0 to {5}.</figcaption></figure></section>\n",
        pieces, OrderMap::kColumns, OrderMap::kRows, path, human_size(picture.guest.bytes),
        human_size(picture.file.bytes));
}

void append_chain(std::string& html, const MapPicture& picture) {
    html +=
        "<section aria-labelledby=\"chain\"><h2 id=\"chain\">Chain</h2><div class=\"scroll\">"
        "<table><thead><tr><th scope=\"col\">layer</th><th scope=\"col\">file</th>"
        "<th scope=\"col\">format</th><th scope=\"col\" class=\"n\">disk</th>"
        "<th scope=\"col\" class=\"n\">file length</th>"
        "<th scope=\"col\" class=\"n\">on its file system</th></tr></thead><tbody>";
    for (std::size_t i = 0; i < picture.layers.size(); ++i) {
        const MapPicture::Layer& layer = picture.layers[i];
        html += fmt::format(
            "<tr><td>{}</td><td class=\"file\">{}</td><td>{}</td><td class=\"n\">{}"
            "</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            i, escape_markup(layer.file), layer.format, human_size(layer.disk_bytes),
            human_size(layer.file_bytes), human_size(layer.allocated_bytes));
    }
    html += "</tbody></table></div></section>\n";
}

void append_facts(std::string& html, const MapPicture& picture) {
    const Header& header = picture.header;
    const auto row = [&html](std::string_view name, const std::string& value) {
        html +=
            fmt::format("<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td></tr>", name, value);
    };
    html += "<section aria-labelledby=\"facts\"><h2 id=\"facts\">Numbers</h2><table><tbody>";
    row("cluster size", human_size(header.cluster_bytes));
    row("table size", fmt::format("{} clusters", header.table_clusters));
    row("closed cleanly", header.needs_check() ? "no" : "yes");
    row("clusters with data", fmt::format("{}", picture.data_clusters));
    row("zero clusters", fmt::format("{}", picture.zero_clusters));
    row("bad entries", fmt::format("{}", picture.bad_entries));
    row("pieces in the file", fmt::format("{}", picture.runs));
    row("clusters in a piece, on average", fmt::format("{:.1f}", mean_piece(picture)));
    row("clusters in the longest piece", fmt::format("{}", picture.longest_run));
    html += "</tbody></table></section>\n";
}

void append_summary(std::string& html, const MapPicture& picture) {
    const auto tile = [&html](std::string_view name, const std::string& value,
                              const std::string& detail) {
        html += fmt::format("<div><dt>{}</dt><dd>{} <small>{}</small></dd></div>\n", name, value,
                            detail);
    };
    const auto guest = picture.guest.totals();
    const auto file = picture.file.totals();
    html += "<dl class=\"tiles\">\n";
    tile("Disk", human_size(picture.guest.bytes),
         fmt::format("{} layer{}", picture.layers.size(), picture.layers.size() == 1 ? "" : "s"));
    tile("File", human_size(picture.file.bytes),
         human_size(picture.layers.front().allocated_bytes) + " allocated");
    tile("Data in it", human_size(guest[0]),
         percent(guest[0], picture.guest.bytes) + " of the disk");
    tile("Unused or leaked", human_size(file[kShades - 1]),
         percent(file[kShades - 1], picture.file.bytes) + " of the file");
    tile("Pieces", fmt::format("{}", picture.runs),
         fmt::format("{:.1f} clusters on average", mean_piece(picture)));
    html += "</dl>\n";
    if (picture.header.needs_check()) {
        html +=
            "<p class=\"warn\">The image was not closed cleanly: run <code>qed check -r all"
            "</code> on it before use.</p>\n";
    }
    if (picture.bad_entries > 0) {
        html += fmt::format(
            "<p class=\"warn\">{} table entries are bad: <code>qed check</code> says "
            "which.</p>\n",
            picture.bad_entries);
    }
}

std::string guest_label(const MapPicture& picture) {
    const auto totals = picture.guest.totals();
    std::string label = fmt::format("A disk of {}", human_size(picture.guest.bytes));
    for (std::size_t i = 0; i < kShades; ++i) {
        label += fmt::format(", {} {}", percent(totals[i], picture.guest.bytes),
                             picture.guest.shades[i].name);
    }
    return label;
}

}  // namespace

std::string escape_markup(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            default:
                // Control characters are not legal in XML.
                escaped += static_cast<unsigned char>(c) < ' ' ? '?' : c;
        }
    }
    return escaped;
}

std::string space_svg(const SpaceMap& space, std::string_view id, std::string_view label,
                      std::string_view style) {
    constexpr std::uint64_t pitch = kCellPixels + kGapPixels;
    const std::uint64_t rows = (space.cells.size() + kColumns - 1) / kColumns;
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"map\" role=\"img\" aria-label=\"{}\" "
        "viewBox=\"-2 -2 {} {}\" id=\"{}\" shape-rendering=\"crispEdges\">{}\n",
        escape_markup(label), kColumns * pitch + 4, std::max<std::uint64_t>(rows, 1) * pitch + 4,
        id, style);
    for (std::uint64_t i = 0; i < space.cells.size(); ++i)
        append_cell(svg, space, i);
    svg += fmt::format(
        "<rect class=\"cursor\" width=\"{0}\" height=\"{0}\" visibility=\"hidden\" "
        "fill=\"none\"/></svg>\n",
        kCellPixels);
    return svg;
}

std::string map_svg(const MapPicture& picture) {
    return space_svg(picture.guest, "guest", guest_label(picture),
                     fmt::format("<style>{}</style>", kColours));
}

std::string map_html(const MapPicture& picture) {
    const std::string name = escape_markup(picture.layers.front().file);
    std::string html = fmt::format(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><title>Map of {0}</title>\n"
        "<style>{1}{2}</style></head>\n<body><main><h1>{0}</h1>\n<p>{3}.</p>\n",
        name, kPageStyle, kColours, guest_label(picture));
    append_summary(html, picture);
    html +=
        "<p class=\"hint\">In each map, space runs from left to right and from top to bottom; a "
        "cell that holds several kinds is divided in their proportion.</p>\n";
    append_space(html, picture.guest, "guest", "The disk, as its guest sees it", "the disk");
    append_space(html, picture.file, "file", "The image's file", "the file");
    append_order(html, picture);
    append_chain(html, picture);
    append_facts(html, picture);
    html +=
        fmt::format("<footer>Drawn by qed {}.</footer></main><script>{}</script></body></html>\n",
                    kVersion, kScript);
    return html;
}

}  // namespace qed::cli
