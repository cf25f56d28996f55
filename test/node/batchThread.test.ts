/** What the thread makes of committed blocks is what L1 is to hold; a thread that dies is replaced, and its request fails as one that may be tried again. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { expect, onTestFinished, test } from 'vitest'
import { aggregateSignatures, deriveSecretKey, publicKeyOf, sign } from '../../consensus/bls.ts'
import { buildCommit } from '../../consensus/certificate.ts'
import { statementDigest } from '../../consensus/digest.ts'
import { encodeMessage } from '../../consensus/message.ts'
import { timestampMs } from '../../execution/block.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { createBatchThread } from '../../node/batchThread.ts'
import { createBatchWork } from '../../node/batchWork.ts'
import { createBlocks, l1InfoAfter } from '../../node/blocks.ts'
import { brotli } from '../../node/brotli.ts'
import type { ChainState } from '../../node/chainState.ts'
import { validatorSetOf } from '../../node/epochs.ts'
import { decodeBatch } from '../../settlement/batch.ts'
import { measureBlock } from '../../settlement/post.ts'
import { openDiskChain, testFolder } from '../fakes/diskChain.ts'
import { addressOf, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'

const secret = deriveSecretKey(new Uint8Array(32).fill(5))
const base = testGenesis()
const genesis = {
  ...base,
  validators: [
    { address: `0x${'c1'.repeat(20)}`, blsPublicKey: publicKeyOf(secret), weight: 1, feeRecipient: `0x${'c3'.repeat(20)}` },
  ] as const,
}
const set = validatorSetOf(genesis)
const { chainId } = genesis.params
const LIMITS = { payloadBytesMax: 100_000, singleBytesMax: 100_000 }
/** Three final blocks: of transfers on both lanes, of one, and an empty one. */
async function openChain(): Promise<{ chain: ChainState; directory: string }> {
  const { chain, directory } = await openDiskChain(genesis)
  const [first, second] = testAccounts
  if (!first || !second) throw new Error('no accounts')
  const fields = { kind: 0, to: addressOf(first), amount: OPEN_WEI }
  const native = (nonce: bigint) => signNative(second, { type: transfer, fields, nonce, chainId })
  const evm = { chainId, nonce: 0, to: addressOf(second), value: 1n, gas: 21_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  await makeBlock(chain, [await native(0n), hexToBytes(await first.signTransaction(evm)), await native(1n)])
  await makeBlock(chain, [await native(2n)])
  await makeBlock(chain, [])
  return { chain, directory }
}

async function makeBlock(chain: ChainState, raws: readonly Uint8Array[]): Promise<void> {
  for (const raw of raws) expect(await chain.submit(raw)).toMatchObject({ ok: true })
  const timeMs = timestampMs(chain.head().header) + 1_000
  const { block, hash } = await chain.build({
    budgetMs: 60_000,
    timestampMs: timeMs,
    feeRecipient: `0x${'c3'.repeat(20)}`,
    origin: undefined,
  })
  expect(block.transactions).toHaveLength(raws.length)
  const vote = { kind: 'precommit', height: Number(block.header.number), round: 0, blockHash: hash, validRound: -1, validator: 0 } as const
  const signature = sign(secret, statementDigest({ chainId, epoch: set.epoch }, vote))
  await chain.decide(hash, encodeMessage(buildCommit(set, [{ ...vote, signature }], aggregateSignatures)))
}

function sendersOf(chain: ChainState): Uint8Array[] {
  const blocks = createBlocks(chain)
  return [1n, 2n, 3n].map((number) => {
    const senders = blocks.read(number)?.transactions.map(({ sender }) => sender) ?? []
    return hexToBytes(`0x${senders.map((sender: Hex) => sender.slice(2)).join('')}`)
  })
}

test('blocks are measured and made into the batch that they are, their senders given or not', async () => {
  const { chain, directory } = await openChain()
  const thread = createBatchThread(directory, genesis.params)
  onTestFinished(thread.close)
  const blocks = createBlocks(chain)
  const sizes = [1n, 2n, 3n].map((number) => {
    const read = blocks.read(number)
    if (!read) throw new Error('no block')
    return measureBlock({ header: read.block.header, transactions: read.transactions, operations: read.operations })
  })
  const range = { firstBlock: 1n, lastBlock: 3n }
  const unknown = [undefined, undefined, undefined]
  expect(await thread.measure({ ...range, senders: sendersOf(chain) })).toEqual(sizes)
  expect(await thread.measure({ ...range, senders: unknown })).toEqual(sizes)
  const made = await thread.make({ ...range, senders: sendersOf(chain), index: 7n, ...LIMITS })
  expect(await thread.make({ ...range, senders: unknown, index: 7n, ...LIMITS })).toEqual(made)
  const head = chain.head()
  expect(made).toMatchObject({ lastBlock: 3n, lastBlockHash: head.hash, originHash: head.header.parentBeaconBlockRoot })
  const parent = { timestampMs: genesis.timestampMs, originNumber: l1InfoAfter(chain.store, 0n).number }
  const decoded = decodeBatch(made.payload, { parent, chainId, decompress: brotli.decompress })
  if (!decoded.ok) throw new Error(decoded.code)
  expect(decoded.batch).toMatchObject({ index: 7n, firstBlock: 1n })
  const raws = [1n, 2n, 3n].map((number) => chain.store.block(number)?.block.transactions.map((raw) => bytesToHex(raw)))
  expect(decoded.batch.blocks.map(({ transactions }) => transactions.map((raw) => bytesToHex(raw)))).toEqual(raws)
})

test('what does not fit is left for the next batch', async () => {
  const { chain } = await openChain()
  const work = createBatchWork(chain.store, genesis.params)
  const request = { firstBlock: 1n, lastBlock: 3n, senders: sendersOf(chain), index: 0n, ...LIMITS }
  const { payload } = work.make({ ...request, lastBlock: 1n })
  const made = work.make({ ...request, payloadBytesMax: payload.length })
  expect(made.lastBlock).toBe(1n)
  expect(made.payload).toEqual(payload)
})

test('closed under a request: what it does is finished, and a new thread does what comes after', async () => {
  const { chain, directory } = await openChain()
  const thread = createBatchThread(directory, genesis.params)
  onTestFinished(thread.close)
  const range = { firstBlock: 1n, lastBlock: 3n, senders: sendersOf(chain) }
  const underWay = thread.measure(range)
  await Promise.resolve()
  await Promise.resolve()
  await thread.close()
  expect(await underWay).toHaveLength(3)
  expect(await thread.measure(range)).toHaveLength(3)
  await expect(thread.measure({ ...range, lastBlock: 4n })).rejects.toMatchObject({ retryable: false, message: /block 4 is missing/ })
})

test('a thread that dies over its work fails the request as one to try again, each time anew, and nothing else', async () => {
  const file = join(testFolder(), 'no store')
  writeFileSync(file, 'a file')
  const thread = createBatchThread(file, genesis.params)
  onTestFinished(thread.close)
  const range = { firstBlock: 1n, lastBlock: 1n, senders: [undefined] }
  const asked = [thread.measure(range), thread.sidecar(new Uint8Array(10))]
  const outcomes = await Promise.allSettled(asked)
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'BatchThreadError', retryable: true, cause: expect.any(Error) } })
})
