/** `eth_simulateV1`: what blocks of calls would be. Source: ethereum/execution-apis. Spec: docs/spec/rpc.md#eth */
import type { Hex } from 'viem'
import { assert } from '../execution/assert.ts'
import { revertReason } from './callError.ts'
import type { SimulatedBlock, SimulateRefusal, SimulateRequest, StateAt } from './chain.ts'
import { blockToJson, logToJson } from './format.ts'
import { type Json, quantity } from './quantity.ts'
import { RPC_ERROR, RpcError } from './rpcError.ts'
import { errorWords } from './tracers/evmError.ts'

/** Codes of the specification for what keeps a call out of its block, and blocks from following one another. */
const REFUSAL_CODES: Readonly<Record<string, number>> = {
  nonceTooLow: -38010,
  nonceTooHigh: -38011,
  feeTooLow: -38012,
  gasTooLow: -38013,
  insufficientFunds: -38014,
  blockGasExceeded: -38015,
  blockNumbers: -38020,
  blockTimes: -38021,
  tooManyBlocks: -38026,
  tooManyCalls: -38026,
}

/** Code of a call that halted. */
const HALTED = -32015

/** The blocks as eth_simulateV1 answers them. Throws `RpcError` for what could be in no block. */
export async function simulate(
  state: StateAt,
  { returnFullTransactions, ...request }: SimulateRequest & { readonly returnFullTransactions: boolean },
): Promise<Json> {
  const result = await state.simulate(request)
  if (!result.ok) throw refusalError(result)
  return result.blocks.map((block) => ({ ...blockToJson(block.at, returnFullTransactions), calls: callsToJson(block) }))
}

function refusalError({ code, message }: SimulateRefusal): RpcError {
  return new RpcError(REFUSAL_CODES[code] ?? RPC_ERROR.rejected, message, { code })
}

function callsToJson({ at, calls }: SimulatedBlock): Json[] {
  let logIndex = 0
  return calls.map(({ output, exception, gasUsed, gasMax }, index) => {
    const [tx, receipt] = [at.transactions[index], at.receipts[index]]
    assert(tx && receipt, 'a call is a transaction with a receipt')
    const place = { blockHash: at.hash, header: at.block.header, index, transactionHash: tx.hash }
    return {
      returnData: output,
      logs: receipt.logs.map((log) => logToJson(log, { ...place, logIndex: logIndex++ })),
      gasUsed: quantity(gasUsed),
      maxUsedGas: quantity(gasMax),
      status: receipt.succeeded ? '0x1' : '0x0',
      ...(exception !== undefined && { error: callErrorToJson(exception, output) }),
    }
  })
}

function callErrorToJson(exception: string, output: Hex): Json {
  if (exception !== 'revert') return { code: HALTED, message: errorWords(exception) }
  const reason = revertReason(output)
  return { code: RPC_ERROR.reverted, message: reason === undefined ? 'execution reverted' : `execution reverted: ${reason}`, data: output }
}
