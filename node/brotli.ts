/** Brotli for batches, by zlib: the port of settlement/batch.ts. */
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import type { Compression } from '../settlement/batch.ts'

/** Quality 5: a tenth larger than 10 and tens of times as fast. */
export const brotli: Compression = {
  compress: (bytes) => new Uint8Array(brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } })),
  decompress(bytes, bytesMax) {
    try {
      const result = brotliDecompressSync(bytes, { maxOutputLength: bytesMax, info: true }) as unknown as {
        buffer: Buffer
        engine: { bytesWritten: number }
      }
      // zlib stops at the end of the stream and says nothing of what stands behind it.
      return result.engine.bytesWritten === bytes.length ? new Uint8Array(result.buffer) : undefined
    } catch {
      return undefined // zlib throws for bytes that are no stream and for output beyond the limit, and for nothing else
    }
  },
}
