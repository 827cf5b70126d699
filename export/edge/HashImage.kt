// Hash an image on Android with LiteRT's CompiledModel. Not run: no Android device was at hand. The same interface was run
// in Python, with codes equal to those of the interpreter.
// build.gradle.kts: implementation("com.google.ai.edge.litert:litert:2.1.0")
import android.content.Context
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

/** An encoder from the app's assets, say "encoder_int8.tflite". Use it from one thread at a time. */
class ImageHasher(context: Context, asset: String) : AutoCloseable {
    private val model = CompiledModel.create(context.assets, asset, CompiledModel.Options(Accelerator.CPU))
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    /** Hash an upright picture in colour that has the encoder's height and width. */
    fun hash(bitmap: Bitmap): ByteArray {
        val colours = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        val pixels = ByteArray(3 * colours.size)
        colours.forEachIndexed { i, colour ->
            pixels[3 * i] = (colour shr 16).toByte()
            pixels[3 * i + 1] = (colour shr 8).toByte()
            pixels[3 * i + 2] = colour.toByte()
        }
        inputs[0].writeInt8(pixels)
        model.run(inputs, outputs)
        return outputs[0].readInt8() // codes; relaxed_codes is the other output
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }
}

/** In how many bits two codes differ. */
fun hammingDistance(left: ByteArray, right: ByteArray): Int =
    left.indices.sumOf { ((left[it].toInt() xor right[it].toInt()) and 0xff).countOneBits() }
