/** A transaction read by itself, from the bytes on disk, is what it is in its whole block; nothing beyond the head is shown. */
import { type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { transfer } from '../../execution/native/transfer.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { createBlocks } from '../../node/blocks.ts'
import type { ChainState } from '../../node/chainState.ts'
import { openDiskChain } from '../fakes/diskChain.ts'
import { addressOf, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'

const genesis = testGenesis()

/** A block of transfers on both lanes, a legacy one among them, and one that fails. */
async function fill(chain: ChainState): Promise<void> {
  const [first, second, third] = testAccounts
  if (!first || !second || !third) throw new Error('no accounts')
  const { chainId } = genesis.params
  const to = addressOf(third)
  const legacy = await first.signTransaction({ type: 'legacy', chainId, nonce: 0, to, value: 1n, gas: 21_000n, gasPrice: 10n ** 12n })
  const dynamic = { chainId, nonce: 0, to, value: 1n, gas: 21_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  const raws = [hexToBytes(legacy), hexToBytes(await second.signTransaction(dynamic))]
  for (const [nonce, amount] of [OPEN_WEI, 2n ** 90n, 3n * OPEN_WEI].entries()) {
    raws.push(await signNative(third, { type: transfer, fields: { kind: 0, to: addressOf(first), amount }, nonce: BigInt(nonce), chainId }))
  }
  for (const raw of raws) expect(await chain.submit(raw)).toMatchObject({ ok: true })
}

test('one transaction from disk is the one in its block', async () => {
  const chain = (await openDiskChain(genesis)).chain
  await fill(chain)
  const options = {
    budgetMs: 60_000,
    timestampMs: genesis.timestampMs + 1_000,
    feeRecipient: '0x'.padEnd(42, '9') as Hex,
    origin: undefined,
  }
  const { hash, block } = await chain.build(options)
  expect(block.transactions).toHaveLength(5)
  await chain.decide(hash, new Uint8Array())
  const whole = createBlocks(chain).read(1n)
  if (!whole) throw new Error('no block')
  const fresh = createBlocks(chain) // has nothing in memory
  let logsBefore = 0
  for (const [index, tx] of whole.transactions.entries()) {
    const placed = fresh.transaction(1n, index)
    expect(placed).toMatchObject({ blockHash: hash, header: block.header, index, receipt: whole.receipts[index], logsBefore })
    expect(placed?.tx).toMatchObject({ kind: tx.kind, hash: tx.hash, sender: tx.sender, raw: tx.raw })
    logsBefore += whole.receipts[index]?.logs.length ?? 0
  }
  expect(whole.receipts.some(({ failureCode }) => failureCode !== undefined)).toBe(true)
})

test('in memory and on disk, nothing beyond the head', async () => {
  const chain = (await openDiskChain(genesis)).chain
  const blocks = createBlocks(chain)
  expect(blocks.read(1n)).toBeUndefined()
  expect(blocks.transaction(1n, 0)).toBeUndefined()
})
