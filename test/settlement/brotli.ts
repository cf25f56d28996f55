/** Brotli as a node does it, behind the port of settlement/batch.ts. */
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import type { Compression } from '../../settlement/batch.ts'

/** What Node says of bytes that are no stream, and of a stream that is too long. */
const REFUSED = /^(Z_|ERR_BUFFER_TOO_LARGE$|ERR__?ERROR|ERR_BROTLI|ERR_PADDING|ERR_CL_SPACE|ERR_.*)/

export const brotli: Compression = {
  compress: (bytes) => {
    const params = { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length }
    return Uint8Array.from(brotliCompressSync(bytes, { params }))
  },
  decompress(bytes, bytesMax) {
    try {
      // With `info` the answer has the engine, which says how much of the input the stream was.
      const answer = brotliDecompressSync(bytes, { maxOutputLength: bytesMax, info: true }) as unknown as {
        readonly buffer: Uint8Array
        readonly engine: { readonly bytesWritten: number }
      }
      return answer.engine.bytesWritten === bytes.length ? Uint8Array.from(answer.buffer) : undefined
    } catch (error) {
      if (error instanceof Error && 'code' in error && REFUSED.test(String(error.code))) return undefined
      throw error
    }
  },
}

/** No compression at all: with it, a batch has one form and no other. */
export const stored: Compression = {
  compress: (bytes) => bytes.slice(),
  decompress: (bytes, bytesMax) => (bytes.length <= bytesMax ? bytes : undefined),
}
