// Hash one image on a microcontroller, with TensorFlow Lite for Microcontrollers.
// Build with encoder_micro.cc. On a PC the program reads raw pixels from stdin and prints a code a line.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "encoder_micro.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

constexpr int kPixels = kHeight * kWidth * kChannels;
constexpr int kCodeBytes = (kNumBits + 7) / 8;
alignas(16) uint8_t arena[kArenaBytes];
uint8_t pixels[kPixels];

// Pixels 0..255, row by row, channels together -> a code, most significant bit first. False where it failed.
bool HashImage(tflite::MicroInterpreter& interpreter, const uint8_t* pixels, uint8_t* code) {
  int8_t* input = interpreter.input(0)->data.int8;
  for (int i = 0; i < kPixels; ++i) input[i] = static_cast<int8_t>(pixels[i] - 128);
  if (interpreter.Invoke() != kTfLiteOk) return false;
  const int8_t* relaxed = interpreter.output(0)->data.int8;  // 0 is 0.5
  std::memset(code, 0, kCodeBytes);
  for (int bit = 0; bit < kNumBits; ++bit) {
    if (relaxed[bit] > 0) code[bit / 8] |= 0x80 >> (bit % 8);
  }
  return true;
}

// Codes at a distance of few bits are of images that share a label.
int HammingDistance(const uint8_t* left, const uint8_t* right) {
  int distance = 0;
  for (int i = 0; i < kCodeBytes; ++i) {
    for (uint8_t rest = left[i] ^ right[i]; rest != 0; rest &= rest - 1) ++distance;
  }
  return distance;
}

int main() {
  Operations operations;
  if (AddOperations(operations) != kTfLiteOk) return 1;
  tflite::MicroInterpreter interpreter(tflite::GetModel(kEncoder), operations, arena, kArenaBytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) return 1;

  uint8_t code[kCodeBytes], first[kCodeBytes];
  for (int image = 0; std::fread(pixels, 1, kPixels, stdin) == kPixels; ++image) {
    if (!HashImage(interpreter, pixels, code)) return 1;
    if (image == 0) std::memcpy(first, code, kCodeBytes);
    for (int i = 0; i < kCodeBytes; ++i) std::printf("%02x", code[i]);
    std::printf(" %d\n", HammingDistance(first, code));
  }
  return 0;
}
