/** What the answer to one request for traces may hold: whoever asks for more gets an error before the memory is taken. Spec: docs/spec/rpc.md#limits */
import { RPC_ERROR, RpcError } from '../rpcError.ts'

/** Shared by all tracers of a request. */
export type TraceBudget = {
  /** Throws `RpcError` where the answer would be above the limit. */
  spend(bytes: number): void
}

/** A budget of so many bytes of JSON, as far as tracers know them beforehand. */
export function createTraceBudget(bytesMax: number): TraceBudget {
  let spent = 0
  return {
    spend(bytes) {
      spent += bytes
      if (spent <= bytesMax) return
      throw new RpcError(RPC_ERROR.limitExceeded, `the trace is larger than ${bytesMax} bytes`, { code: 'traceTooLarge', max: bytesMax })
    },
  }
}
