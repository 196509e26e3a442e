// The page's template, style and script: page.html, page.css and page.js, which the build makes
// into string constants.
#pragma once

namespace encke::cli::report {

extern const char kPageHtml[];
extern const char kPageCss[];
extern const char kPageJs[];

}  // namespace encke::cli::report
