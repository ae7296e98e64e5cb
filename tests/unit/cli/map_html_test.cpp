// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/reports/map_picture.hpp"

namespace qed::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

MapPicture small_picture() {
    MapPicture picture;
    picture.layers.push_back({"<b>&\".qed", "qed", 131072, 458752, 200000});
    picture.guest.shades = {{{"data", "data in this image"},
                             {"backing", "data in a backing file"},
                             {"zero", "zero, and stored as such"},
                             {"nothing", "nothing stored, reads as zero"}}};
    picture.guest.bytes = 131072;
    picture.guest.cell_bytes = 65536;
    picture.guest.cells = {{16384, 0, 0, 49152}, {0, 0, 65536, 0}};
    picture.file = picture.guest;
    return picture;
}

TEST(MapHtmlTest, LetsNoFileNameBecomeMarkup) {
    const std::string html = map_html(small_picture());
    EXPECT_THAT(html, HasSubstr("&lt;b&gt;&amp;&quot;.qed"));
    EXPECT_THAT(html, Not(HasSubstr("<b>")));
}

TEST(MapHtmlTest, NeedsNothingFromTheNetwork) {
    const std::string html = map_html(small_picture());
    for (const char* const word : {"src=", "@import", "url(", "https://", "href="}) {
        EXPECT_THAT(html, Not(HasSubstr(word))) << word;
    }
}

TEST(MapHtmlTest, SaysInWordsWhatThePictureShows) {
    const std::string html = map_html(small_picture());
    EXPECT_THAT(html, HasSubstr("A disk of 128 KiB, 12.5% data in this image"));
    EXPECT_THAT(html, HasSubstr("lang=\"en\""));
    EXPECT_THAT(html, HasSubstr("aria-label=\"Map of the disk: 2 cells of 64 KiB\""));
    EXPECT_THAT(html, HasSubstr("aria-live=\"polite\""));
    EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
}

TEST(MapHtmlTest, DrawsWhereTheDataLiesFromTheBottomOfTheFile) {
    MapPicture picture = small_picture();
    EXPECT_THAT(map_html(picture), HasSubstr("The image holds no data of its own."));
    picture.runs = 2;
    picture.data_clusters = 5;
    picture.longest_run = 3;
    picture.order.cells[0] = picture.order.cells[1] = true;  // the first two columns, row 0
    const std::string html = map_html(picture);
    EXPECT_THAT(html, HasSubstr("The data lies in 2 pieces of 2.5 clusters on average; the longest "
                                "has 3."));
    EXPECT_THAT(html, HasSubstr(R"(d="M0 127h2v1h-2z")"));
}

TEST(MapSvgTest, DividesACellInProportion) {
    const std::string svg = map_svg(small_picture());
    EXPECT_THAT(svg, HasSubstr(R"(<rect class="data" x="0" y="0" width="3.5" height="14"/>)"));
    EXPECT_THAT(svg,
                HasSubstr(R"(<rect class="nothing" x="3.5" y="0" width="10.5" height="14"/>)"));
    EXPECT_THAT(svg, HasSubstr(R"(<rect class="zero" x="16" y="0" width="14" height="14"/>)"));
}

TEST(MapSvgTest, EscapesControlCharacters) {
    EXPECT_EQ(escape_markup("a\x01<b>\n&\""), "a?&lt;b&gt;?&amp;&quot;");
}

}  // namespace
}  // namespace qed::cli
