/** `eth_fillTransaction`: what a wallet asks before it signs. Source: ethereum/execution-apis; geth, internal/ethapi FillTransaction. */
import { type Hex, serializeTransaction, type TransactionSerializable } from 'viem'
import { callError } from './callError.ts'
import type { Chain } from './chain.ts'
import { baseFeeWei, suggestedTipWei } from './fees.ts'
import { stateAt } from './method.ts'
import type { UnsignedRequest } from './params.ts'
import { BadValue, type Json, quantity } from './quantity.ts'

const NOBODY: Hex = `0x${'00'.repeat(20)}`

/** The transaction with what it lacks, and its bytes as they are signed. Throws what estimating its gas throws. */
export async function fillTransaction(chain: Chain, request: UnsignedRequest): Promise<Json> {
  const { from = NOBODY, to, value = 0n, data = '0x', accessList } = request
  const { chainId } = chain.params
  if (request.chainId !== undefined && request.chainId !== BigInt(chainId)) throw new BadValue('transaction.chainId', `expected ${chainId}`)
  const nonce = request.nonce ?? chain.pendingNonce(from)
  const fees = feesOf(chain, request)
  const gas = request.gas ?? (await estimate(chain, { ...request, gasPrice: undefined, maxFeePerGas: undefined }))
  const shared = { nonce: Number(nonce), gas, to: to ?? null, value, data }
  const isDynamic = 'maxFeePerGas' in fees
  const list = isDynamic || accessList ? { accessList: accessList ?? [] } : {}
  const type = isDynamic ? 'eip1559' : accessList ? 'eip2930' : 'legacy'
  const raw = serializeTransaction({ type, chainId, ...shared, ...fees, ...list } as TransactionSerializable)
  const tx = {
    type: { legacy: '0x0', eip2930: '0x1', eip1559: '0x2' }[type],
    chainId: quantity(chainId),
    nonce: quantity(nonce),
    gas: quantity(gas),
    to: to ?? null,
    value: quantity(value),
    input: data,
    ...list,
    gasPrice: quantity(isDynamic ? fees.maxFeePerGas : fees.gasPrice),
    ...(isDynamic && { maxFeePerGas: quantity(fees.maxFeePerGas), maxPriorityFeePerGas: quantity(fees.maxPriorityFeePerGas) }),
  }
  return { raw, tx }
}

type Fees = { readonly gasPrice: bigint } | { readonly maxFeePerGas: bigint; readonly maxPriorityFeePerGas: bigint }

function feesOf(chain: Chain, { gasPrice, maxFeePerGas, maxPriorityFeePerGas }: UnsignedRequest): Fees {
  if (gasPrice !== undefined) return { gasPrice }
  const tip = maxPriorityFeePerGas ?? smaller(suggestedTipWei(chain), maxFeePerGas)
  if (maxFeePerGas !== undefined && maxFeePerGas < tip) throw new BadValue('transaction.maxFeePerGas', 'is below maxPriorityFeePerGas')
  return { maxFeePerGas: maxFeePerGas ?? 2n * baseFeeWei(chain) + tip, maxPriorityFeePerGas: tip }
}

function smaller(wei: bigint, bound: bigint | undefined): bigint {
  return bound !== undefined && bound < wei ? bound : wei
}

async function estimate(chain: Chain, request: UnsignedRequest): Promise<bigint> {
  const result = await stateAt(chain, undefined).estimateGas(request)
  if (!result.ok) throw callError(result)
  return result.gas
}
