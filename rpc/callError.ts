/** Calls that did not succeed, as clients see them: what reverted says why, where it says so in one of the usual ways. Spec: docs/spec/rpc.md#errors */
import { decodeErrorResult, type Hex, hexToString, parseAbi, trim } from 'viem'
import type { CallResult } from './chain.ts'
import { RPC_ERROR, RpcError, wordsFor } from './rpcError.ts'

/** What a call that did not succeed answers. */
export function callError(result: Exclude<CallResult, { ok: true }>): RpcError {
  if (result.code === 'reverted') {
    const reason = revertReason(result.output)
    return new RpcError(RPC_ERROR.reverted, reason === undefined ? 'execution reverted' : `execution reverted: ${reason}`, result.output)
  }
  if (result.code === 'halted')
    return new RpcError(RPC_ERROR.rejected, result.reason, { code: result.code, gasUsed: `0x${result.gasUsed.toString(16)}` })
  return new RpcError(RPC_ERROR.rejected, wordsFor(result.code) ?? result.reason, { code: result.code, reason: result.reason })
}

const reasonAbi = parseAbi(['error Error(string reason)', 'error Panic(uint256 code)', 'error Failed(bytes32 code)'])

/** What revert data says in words: Solidity's `Error(string)` and `Panic(uint256)`, and a door's `Failed(bytes32)`; undefined for anything else. */
export function revertReason(output: Hex): string | undefined {
  try {
    const { errorName, args } = decodeErrorResult({ abi: reasonAbi, data: output })
    if (errorName === 'Error') return args[0]
    if (errorName === 'Panic') return `panic code 0x${args[0].toString(16)}`
    return hexToString(trim(args[0], { dir: 'right' }))
  } catch {
    return undefined // viem throws for data that is none of these errors, and for nothing else
  }
}
