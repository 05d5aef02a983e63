#include "ctl/top.hpp"

#include <fmt/format.h>
#include <ncurses.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <clocale>
#include <iostream>
#include <thread>

namespace vgpu::ctl {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPatience = 3s;
constexpr const char* kHelp = "q quit   s share  m memory  c calls  w waits  e sessions  n name   r reverse";

std::atomic<bool> interrupted{false};

/// Answers to the verb `top`, over a connection that is made anew when vgpud was restarted.
class Source {
 public:
  explicit Source(std::filesystem::path socket) : socket_(std::move(socket)) {}
  std::optional<Json> ask(Failure& failure) {
    if (!client_) client_ = Client::connect(socket_, failure);
    if (!client_) return std::nullopt;
    auto answer = client_->ask({{"verb", "top"}}, failure, kPatience);
    if (answer) {
      if (const auto refused = refusal(*answer)) {
        failure = *refused;
        answer.reset();
      }
    }
    if (!answer) client_.reset();
    return answer;
  }

 private:
  const std::filesystem::path socket_;
  std::optional<Client> client_;
};

/// The terminal while it is ours.
class Screen {
 public:
  Screen() {
    std::setlocale(LC_ALL, "");
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
    ::initscr();
    ::cbreak();
    ::noecho();
    ::keypad(stdscr, TRUE);
    ::curs_set(0);
    if (!::has_colors()) return;
    ::start_color();
    ::use_default_colors();
    ::init_pair(1, COLOR_GREEN, -1);
    ::init_pair(2, COLOR_YELLOW, -1);
    ::init_pair(3, COLOR_RED, -1);
  }
  ~Screen() { ::endwin(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void draw(const std::vector<Line>& lines, std::size_t scroll, const std::string& trouble) {
    ::erase();
    const int height = LINES, width = COLS;
    for (int row = 0; row < height - 1; ++row) {
      const std::size_t index = static_cast<std::size_t>(row) + scroll;
      if (index >= lines.size()) break;
      ::move(row, 0);
      for (const Piece& piece : lines[index]) put(piece);
    }
    ::move(height - 1, 0);
    std::string last = trouble.empty() ? kHelp : trouble;
    last.resize(static_cast<std::size_t>(std::max(width - 1, 0)), ' ');
    put({last, trouble.empty() ? Style::heading : Style::bad});
    ::refresh();
  }

 private:
  static void put(const Piece& piece) {
    const attr_t attributes = look(piece.style);
    ::attron(attributes);
    ::addstr(piece.text.c_str());
    ::attroff(attributes);
  }
  static attr_t look(Style style) {
    switch (style) {
      case Style::plain:
        return A_NORMAL;
      case Style::bold:
        return A_BOLD;
      case Style::heading:
        return A_REVERSE;
      case Style::good:
      case Style::bar:
        return COLOR_PAIR(1);
      case Style::warning:
        return COLOR_PAIR(2);
      case Style::bad:
        return COLOR_PAIR(3) | A_BOLD;
    }
    return A_NORMAL;
  }
};

class Top {
 public:
  explicit Top(const TopOptions& options) : options_(options), source_(options.socket), sort_(options.sort) {}

  int run() {
    Failure failure;
    after_ = source_.ask(failure);  // before the screen: who can't reach vgpud reads why on a plain terminal
    if (!after_) {
      std::cerr << "vgpuctl: " << failure.text << '\n';
      return failure.exit;
    }
    before_ = after_;
    Screen screen;
    auto due = Clock::now() + std::min<std::chrono::milliseconds>(options_.interval, 250ms);  // the first rates soon
    while (!interrupted && !done_) {
      show(screen);
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(due - Clock::now()).count();
      ::timeout(static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000)));
      handle(::getch());
      if (Clock::now() < due) continue;
      look();
      due = Clock::now() + options_.interval;
    }
    return kDone;
  }

 private:
  void look() {
    Failure failure;
    auto answer = source_.ask(failure);
    trouble_ = answer ? "" : failure.text.substr(0, failure.text.find('\n')) + " - trying again";
    if (!answer) return;
    // A vgpud that was restarted counts from 0.
    const bool same = answer->at("status").at("pid") == after_->at("status").at("pid");
    before_ = same ? std::move(after_) : answer;
    after_ = std::move(answer);
  }

  void show(Screen& screen) {
    const TopView view = top_view(*before_, *after_, sort_, reverse_);
    const std::vector<Line> lines = top_lines(view, static_cast<std::size_t>(std::max(COLS, 1)), sort_);
    const auto page = static_cast<std::size_t>(std::max(LINES - 1, 1));
    scroll_ = std::min(scroll_, lines.size() > page ? lines.size() - page : 0);
    screen.draw(lines, scroll_, trouble_);
  }

  void handle(int key) {
    switch (key) {
      case 'q':
      case 'Q':
        done_ = true;
        break;
      case 's':
        sort_ = SortKey::share;
        break;
      case 'm':
        sort_ = SortKey::memory;
        break;
      case 'c':
        sort_ = SortKey::calls;
        break;
      case 'w':
        sort_ = SortKey::waits;
        break;
      case 'e':
        sort_ = SortKey::sessions;
        break;
      case 'n':
        sort_ = SortKey::name;
        break;
      case 'r':
        reverse_ = !reverse_;
        break;
      case KEY_DOWN:
        ++scroll_;
        break;
      case KEY_UP:
        if (scroll_ != 0) --scroll_;
        break;
      default:
        break;
    }
  }

  const TopOptions options_;
  Source source_;
  SortKey sort_;
  bool reverse_ = false;
  bool done_ = false;
  std::size_t scroll_ = 0;
  std::optional<Json> before_, after_;
  std::string trouble_;
};

}  // namespace

int top_once(const TopOptions& options) {
  Source source(options.socket);
  Failure failure;
  const auto before = source.ask(failure);
  if (before) std::this_thread::sleep_for(options.interval);
  const auto after = before ? source.ask(failure) : std::nullopt;
  if (!after) {
    std::cerr << "vgpuctl: " << failure.text << '\n';
    return failure.exit;
  }
  constexpr std::size_t kWide = 1000;
  for (const Line& line : top_lines(top_view(*before, *after, options.sort, false), kWide, options.sort)) {
    std::string text;
    for (const Piece& piece : line) text += piece.text;
    text.erase(text.find_last_not_of(' ') + 1);
    std::cout << text << '\n';
  }
  return kDone;
}

int top(const TopOptions& options) { return Top(options).run(); }

}  // namespace vgpu::ctl
