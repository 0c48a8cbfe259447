// What the bridge needs of a glove, whichever library speaks with it.
#pragma once

#include <array>
#include <memory>
#include <string>

constexpr int kFingers = 5;  // thumb, index, middle, ring, little
constexpr int kAngles = 4;   // spreading, then three of bending, in rad

using Levels = std::array<float, kFingers>;  // 0-1
using Angles = std::array<std::array<float, kAngles>, kFingers>;

class Glove {
 public:
  virtual ~Glove() = default;

  // Name of the device, for people.
  virtual std::string name() const = 0;

  // Reads the newest angles; false while the glove is off or out of reach.
  virtual bool read(Angles& angles) = 0;

  // Sets the brakes and the vibrations of all fingers.
  virtual void feel(const Levels& brake, const Levels& vibration) = 0;
};

// Opens the right or left glove; it may be switched on later. Linked in from one of the
// *_glove.cpp files.
std::unique_ptr<Glove> open_glove(bool right);
