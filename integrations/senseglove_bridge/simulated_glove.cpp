// A glove of no hardware: fingers that open and close slowly, and an echo of what is felt. It
// serves to try the bridge and its clients without the SDK.
#include <chrono>
#include <cmath>

#include "glove.hpp"

namespace {

class SimulatedGlove : public Glove {
 public:
  std::string name() const override { return "simulated glove"; }

  bool read(Angles& angles) override {
    using Seconds = std::chrono::duration<float>;
    const Seconds time = std::chrono::steady_clock::now() - start_;
    const float bend = 0.4f - 0.4f * std::cos(time.count());
    for (int finger = 0; finger < kFingers; ++finger) {
      angles[finger] = {brake_[finger], bend + vibration_[finger], bend, bend};
    }
    return true;
  }

  void feel(const Levels& brake, const Levels& vibration) override {
    brake_ = brake;
    vibration_ = vibration;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Levels brake_{}, vibration_{};
};

}  // namespace

std::unique_ptr<Glove> open_glove(bool) { return std::make_unique<SimulatedGlove>(); }
