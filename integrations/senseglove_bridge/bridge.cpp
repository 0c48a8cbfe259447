// Serves one glove's angles, and its brakes and vibrations, on a local socket.
//
// The protocol is stated in README.md. One thread: every tick it takes in what clients sent,
// reads the glove, sends its angles and releases the brakes if nobody asks for them any more.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>

#include "glove.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kVersion = 1;
constexpr size_t kLongestLine = 512;         // bytes, its end included
constexpr auto kTick = milliseconds(5);      // 200 Hz: twice the headset's rate and more
constexpr auto kRelease = milliseconds(200); // without "feel" for so long the glove is let go
constexpr int kLostTicks = 20;               // "lost" is sent ten times a second

volatile std::sig_atomic_t stopping = 0;

void stop(int) { stopping = 1; }

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "senseglove_bridge: %s\n", what.c_str());
  std::exit(1);
}

[[noreturn]] void fail_with_errno(const std::string& what) {
  fail(what + ": " + std::strerror(errno));
}

// The one client. On a local socket a client that died is gone at once, so a second one is
// turned away for as long as the first lives.
class Client {
 public:
  Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(); }

  bool connected() const { return socket_ >= 0; }

  void take(int socket) {
    close();
    socket_ = socket;
    const int flags = fcntl(socket, F_GETFL, 0);
    fcntl(socket, F_SETFL, flags | O_NONBLOCK);
    const int on = 1;  // fails on a Unix socket, which needs no such thing
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  // Sends a line. A client that does not keep up is let go: it can connect again, and what
  // would wait for it is old by then.
  void send(const std::string& line) {
    if (!connected()) return;
    const ssize_t sent = ::send(socket_, line.data(), line.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(line.size())) close();
  }

  void refuse(const std::string& reason) {
    send("error " + reason + "\n");
    close();
  }

  // Moves the next whole line into `line`; false where there is none yet.
  bool next_line(std::string& line) {
    while (connected()) {
      const size_t end = buffer_.find('\n');
      if (end < kLongestLine) {  // npos is larger than any size
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return true;
      }
      if (buffer_.size() >= kLongestLine) {
        refuse("a line is too long");
        return false;
      }
      char chunk[kLongestLine];
      const ssize_t count = recv(socket_, chunk, sizeof chunk, 0);
      if (count > 0) {
        buffer_.append(chunk, static_cast<size_t>(count));
      } else {
        const bool waiting = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        if (!waiting) close();
        return false;
      }
    }
    return false;
  }

 private:
  void close() {
    if (connected()) ::close(socket_);
    socket_ = -1;
    buffer_.clear();
  }

  int socket_ = -1;
  std::string buffer_;
};

int listen_on(const std::string& address) {
  int server = -1;
  if (address.rfind("unix:", 0) == 0) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    const std::string path = address.substr(5);
    if (path.empty() || path.size() >= sizeof name.sun_path) fail("the socket's path is too long");
    std::strcpy(name.sun_path, path.c_str());
    struct stat there{};
    if (lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) unlink(path.c_str());
    server = socket(AF_UNIX, SOCK_STREAM, 0);
    umask(0077);  // for this user alone
    if (bind(server, reinterpret_cast<sockaddr*>(&name), sizeof name) < 0) {
      fail_with_errno("cannot listen on " + address);
    }
  } else {
    const size_t colon = address.rfind(':');
    sockaddr_in name{};
    name.sin_family = AF_INET;
    const int port = colon == std::string::npos ? 0 : std::atoi(address.c_str() + colon + 1);
    const std::string host = address.substr(0, colon);
    if (port < 1 || port > 65535 || inet_pton(AF_INET, host.c_str(), &name.sin_addr) != 1) {
      fail("'" + address + "' is no address; expected 127.0.0.1:5557 or unix:/path");
    }
    name.sin_port = htons(static_cast<uint16_t>(port));
    server = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(server, reinterpret_cast<sockaddr*>(&name), sizeof name) < 0) {
      fail_with_errno("cannot listen on " + address);
    }
  }
  if (listen(server, 4) < 0) fail_with_errno("cannot listen on " + address);
  fcntl(server, F_SETFL, fcntl(server, F_GETFL, 0) | O_NONBLOCK);
  return server;
}

// Reads five brakes and five vibrations; false where it is anything else.
bool parse_levels(std::istringstream& words, Levels& brake, Levels& vibration) {
  for (Levels* levels : {&brake, &vibration}) {
    for (float& level : *levels) {
      if (!(words >> level) || !(level >= 0.0f && level <= 1.0f)) return false;
    }
  }
  return true;
}

double seconds(Clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::string hand_line(unsigned long sequence, Clock::time_point time, const Angles& angles) {
  char number[32];
  std::snprintf(number, sizeof number, "%.6f", seconds(time));
  std::string line = "hand " + std::to_string(sequence) + " " + number;
  for (const auto& finger : angles) {
    for (const float angle : finger) {
      std::snprintf(number, sizeof number, " %.5f", static_cast<double>(angle));
      line += number;
    }
  }
  return line + "\n";
}

bool finite(const Angles& angles) {
  for (const auto& finger : angles) {
    for (const float angle : finger) {
      if (!std::isfinite(angle)) return false;
    }
  }
  return true;
}

class Bridge {
 public:
  Bridge(int server, bool right) : server_(server), right_(right), glove_(open_glove(right)) {}

  ~Bridge() { release(); }

  void tick() {
    listen();  // also notices that the client has gone, and makes room
    const int socket = accept(server_, nullptr, nullptr);
    if (socket >= 0) welcome(socket);
    if (touching_ && (!client_.connected() || Clock::now() - felt_ > kRelease)) release();
    if (client_.connected()) report();
  }

 private:
  void welcome(int socket) {
    if (client_.connected()) {
      Client second;
      second.take(socket);
      second.refuse("another client is connected");
      return;
    }
    client_.take(socket);
    const std::string hand = right_ ? "right" : "left";
    client_.send("hello " + std::to_string(kVersion) + " " + hand + " " + glove_->name() + "\n");
  }

  void listen() {
    for (std::string line; client_.next_line(line);) {
      std::istringstream words(line);
      std::string word;
      words >> word;
      int version = 0;
      if (word == "hello" && (!(words >> version) || version != kVersion)) {
        client_.refuse("this bridge speaks version " + std::to_string(kVersion));
      } else if (word == "feel") {
        feel(words);
      }
    }
  }

  void feel(std::istringstream& words) {
    Levels brake, vibration;
    if (!parse_levels(words, brake, vibration)) {
      client_.refuse("'feel' takes ten levels from 0 to 1");
      return;
    }
    glove_->feel(brake, vibration);
    felt_ = Clock::now();
    touching_ = true;
  }

  void release() {
    if (touching_) glove_->feel(Levels{}, Levels{});
    touching_ = false;
  }

  void report() {
    Angles angles;
    if (glove_->read(angles) && finite(angles)) {
      client_.send(hand_line(++sequence_, Clock::now(), angles));
      lost_ = 0;
    } else if (lost_++ % kLostTicks == 0) {
      client_.send("lost\n");
    }
  }

  int server_;
  bool right_;
  std::unique_ptr<Glove> glove_;
  Client client_;
  Clock::time_point felt_{};
  bool touching_ = false;
  unsigned long sequence_ = 0;
  int lost_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  std::string address = "127.0.0.1:5557", hand = "right";
  for (int index = 1; index < count; index += 2) {
    const std::string option = arguments[index];
    const bool valued = index + 1 < count;
    if (valued && option == "--listen") {
      address = arguments[index + 1];
    } else if (valued && option == "--hand") {
      hand = arguments[index + 1];
    } else {
      fail("usage: senseglove_bridge [--listen 127.0.0.1:5557 | unix:/path] [--hand right | left]");
    }
  }
  if (hand != "right" && hand != "left") fail("'" + hand + "' is no hand; expected right or left");
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  const int server = listen_on(address);
  {
    Bridge bridge(server, hand == "right");
    std::printf("listening on %s\n", address.c_str());
    std::fflush(stdout);
    for (Clock::time_point next = Clock::now(); !stopping; next += kTick) {
      const Clock::time_point now = Clock::now();
      if (next < now) next = now;  // what was missed is not made up for
      std::this_thread::sleep_until(next);
      bridge.tick();
    }
  }  // lets go of the glove
  close(server);
  if (address.rfind("unix:", 0) == 0) unlink(address.c_str() + 5);
  return 0;
}
