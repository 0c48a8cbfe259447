// A SenseGlove (DK1) through SenseGlove's SDK, library SGCore.
//
// SGCore does not own the connection: SenseCom, SenseGlove's background program, does. The angles
// are the sensors' own, in rad; gym-grasp calibrates them per operator, so the SDK's calibration
// is not used.
#include <SenseGlove/Core/HapticGlove.hpp>
#include <SenseGlove/Core/SenseCom.hpp>
#include <SenseGlove/Core/SenseGlove.hpp>
#include <SenseGlove/Core/SenseGloveSensorData.hpp>
#include <algorithm>
#include <chrono>
#include <vector>

#include "glove.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using SGCore::SG::SenseGlove;
using SGCore::SG::SenseGloveSensorData;

constexpr auto kSearchPause = std::chrono::seconds(1);

class SgcoreGlove : public Glove {
 public:
  explicit SgcoreGlove(bool right) : right_(right) {
    if (!SGCore::SenseCom::ScanningActive()) SGCore::SenseCom::StartupSenseCom();
  }

  ~SgcoreGlove() override {
    if (found_) glove_.StopHaptics();
  }

  std::string name() const override { return "SenseGlove DK1"; }

  bool read(Angles& angles) override {
    if (!connected()) return false;
    SenseGloveSensorData data;
    if (!glove_.GetSensorData(data)) return false;
    const std::vector<std::vector<float>>& sensors = data.GetSensorAngles();
    if (sensors.size() < kFingers) return false;
    for (int finger = 0; finger < kFingers; ++finger) {
      if (sensors[finger].size() < kAngles) return false;
      std::copy_n(sensors[finger].begin(), kAngles, angles[finger].begin());
    }
    return true;
  }

  void feel(const Levels& brake, const Levels& vibration) override {
    if (!connected()) return;
    glove_.QueueForceFeedbackLevels({brake.begin(), brake.end()});
    glove_.QueueVibroLevels({vibration.begin(), vibration.end()});
    glove_.SendHaptics();
  }

 private:
  // Looks for the glove, at most once a second, until it is there.
  bool connected() {
    if (found_ && glove_.IsConnected()) return true;
    const Clock::time_point now = Clock::now();
    if (now < next_search_) return false;
    next_search_ = now + kSearchPause;
    found_ = SenseGlove::GetSenseGlove(right_, glove_);
    return found_;
  }

  bool right_;
  bool found_ = false;
  SenseGlove glove_;
  Clock::time_point next_search_{};
};

}  // namespace

std::unique_ptr<Glove> open_glove(bool right) { return std::make_unique<SgcoreGlove>(right); }
