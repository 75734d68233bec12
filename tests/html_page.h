// A reader of HTML as the project writes it: every element is closed, every attribute quoted.
#ifndef OCTET_TESTS_HTML_PAGE_H_
#define OCTET_TESTS_HTML_PAGE_H_

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace octet::testing {

struct HtmlElement {
  std::string name;
  std::map<std::string, std::string> attributes;
};

/// All elements in their order. What is not well-formed is a failure, and so are ids given twice,
/// references to ids that are not there, and whatever would be loaded from elsewhere.
inline std::vector<HtmlElement> ReadHtml(const std::string& html) {
  static const std::set<std::string> kVoid{"meta", "link", "img", "wbr"};
  std::vector<HtmlElement> elements;
  std::vector<std::string> open;
  std::set<std::string> ids, wanted;
  const auto near = [&](size_t at) { return html.substr(at, 80); };
  const std::string doctype = "<!DOCTYPE html>";
  EXPECT_TRUE(html.starts_with(doctype));
  for (size_t at = doctype.size(); (at = html.find('<', at)) != std::string::npos;) {
    const size_t begin = at++;
    const bool closes = html[at] == '/';
    at += closes;
    HtmlElement e;
    while (std::isalnum(static_cast<unsigned char>(html[at])) != 0) e.name += html[at++];
    EXPECT_FALSE(e.name.empty()) << near(begin);
    if (closes) {
      EXPECT_EQ(open.empty() ? "" : open.back(), e.name) << near(begin);
      if (html[at] != '>' || open.empty() || open.back() != e.name) return elements;
      open.pop_back();
      continue;
    }
    bool ends_itself = false;
    for (;;) {
      while (html[at] == ' ' || html[at] == '\n') ++at;
      if (html[at] == '/') ends_itself = true, ++at;
      if (html[at] == '>') break;
      std::string key, value;
      while (std::isalnum(static_cast<unsigned char>(html[at])) != 0 || html[at] == '-')
        key += html[at++];
      EXPECT_FALSE(key.empty()) << near(begin);
      if (key.empty()) return elements;
      if (html[at] == '=') {
        EXPECT_EQ(html[at + 1], '"') << near(begin);
        const size_t end = html.find('"', at + 2);
        value = html.substr(at + 2, end - at - 2);
        EXPECT_EQ(value.find('<'), std::string::npos) << near(begin);
        at = end + 1;
      }
      EXPECT_FALSE(key.starts_with("on")) << near(begin);
      EXPECT_TRUE(e.attributes.emplace(key, value).second) << key << " twice: " << near(begin);
      if (key == "id") {
        EXPECT_TRUE(ids.insert(value).second) << value;
      }
      if (key == "aria-labelledby" || key == "data-readout" || key == "aria-describedby")
        wanted.insert(value);
      if (key == "src" || (key == "href" && !value.starts_with("#"))) {
        EXPECT_TRUE(value.starts_with("data:")) << near(begin);
      } else if (key == "href") {
        wanted.insert(value.substr(1));
      }
    }
    if (!kVoid.contains(e.name) && !ends_itself) open.push_back(e.name);
    if (e.name == "script" || e.name == "style") at = html.find("</" + e.name, at);
    elements.push_back(std::move(e));
  }
  EXPECT_TRUE(open.empty()) << open.back();
  for (const std::string& id : wanted) EXPECT_TRUE(ids.contains(id)) << id;
  for (const char* elsewhere : {"http:", "https:", "url(", "@import", "fetch("})
    EXPECT_EQ(html.find(elsewhere), std::string::npos) << elsewhere;
  return elements;
}

/// Headings go down by one level at a time, and there is one of the first.
inline void ExpectHeadingsInOrder(const std::vector<HtmlElement>& elements) {
  int level = 0, first = 0;
  for (const HtmlElement& e : elements) {
    if (e.name.size() != 2 || e.name[0] != 'h' || e.name[1] < '1' || e.name[1] > '6') continue;
    EXPECT_LE(e.name[1] - '0', level + 1) << e.name;
    level = e.name[1] - '0';
    first += level == 1;
  }
  EXPECT_EQ(first, 1);
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_HTML_PAGE_H_
