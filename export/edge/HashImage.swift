// Hash an image on iOS with TensorFlowLiteSwift, LiteRT's pod. Not run: no iPhone was at hand.
// Podfile: pod 'TensorFlowLiteSwift'
import Foundation
import TensorFlowLite

/// An encoder from the app's bundle, say "encoder_int8.tflite". Use it from one thread at a time.
final class ImageHasher {
  private let interpreter: Interpreter

  init(modelPath: String) throws {
    interpreter = try Interpreter(modelPath: modelPath)
    try interpreter.allocateTensors()
  }

  /// Hash pixels 0...255 of the encoder's size: row by row, red, green and blue together.
  func hash(_ pixels: [UInt8]) throws -> [UInt8] {
    try interpreter.copy(Data(pixels), toInputAt: 0)
    try interpreter.invoke()
    for index in 0..<interpreter.outputTensorCount {
      let output = try interpreter.output(at: index)
      if output.dataType == .uInt8 { return [UInt8](output.data) }  // the other one is relaxed_codes
    }
    fatalError("the file is no encoder of dshgan_tf")
  }
}

/// In how many bits two codes differ.
func hammingDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
  zip(left, right).reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
}
