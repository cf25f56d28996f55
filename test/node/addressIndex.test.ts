/** The index finds every transaction of an address, and no other, whatever of it is on disk; it goes on where it ended, and behind a chain it is whole. */
import fc from 'fast-check'
import { encodeFunctionData, getContractAddress, type Hex, hexToBytes, pad, parseAbi, toHex } from 'viem'
import { expect, test } from 'vitest'
import { datanetCreate } from '../../execution/native/datanetCreate.ts'
import { datanetReview } from '../../execution/native/datanetReview.ts'
import { datanetUpload } from '../../execution/native/datanetUpload.ts'
import type { FieldValues, NativeType } from '../../execution/native/nativeType.ts'
import { DOOR } from '../../genesis/params.ts'
import { createAddressIndex, type Touches } from '../../node/addressIndex.ts'
import { followWithAddresses } from '../../node/addressWork.ts'
import { createBlocks } from '../../node/blocks.ts'
import { type ChainState, openChainState } from '../../node/chainState.ts'
import { openStore } from '../../node/store.ts'
import { quietLog, testFolder } from '../fakes/diskChain.ts'
import { segmentsInMemory } from '../fakes/memorySegments.ts'
import { addressOf, signNative, testAccounts, testGenesis } from '../fakes/testChain.ts'

const addressOfSketch = (n: number): Hex => pad(toHex(n), { size: 20 })

const aTransaction = fc.record({
  sender: fc.nat({ max: 4 }),
  lane: fc.constantFrom('ethereum' as const, 'native' as const, undefined),
  others: fc.array(fc.nat({ max: 6 }), { maxLength: 3 }),
  makes: fc.option(fc.nat({ max: 6 }), { nil: undefined }),
})
const someBlocks = fc.array(fc.array(aTransaction, { maxLength: 4 }), { minLength: 1, maxLength: 30 })
const aQuestion = fc.record({
  address: fc.nat({ max: 7 }),
  from: fc.nat({ max: 33 }),
  direction: fc.constantFrom('below' as const, 'above' as const),
  count: fc.integer({ min: 1, max: 6 }),
})

type Sketch = { sender: number; lane: 'ethereum' | 'native' | undefined; others: readonly number[]; makes: number | undefined }
type Known = { readonly block: number; readonly index: number; readonly touches: Touches }

/** What the index is given, with nonces counted as chains do. */
function knownOf(blocks: readonly (readonly Sketch[])[]): Known[] {
  const nonces = new Map<string, bigint>()
  return blocks.flatMap((transactions, i) =>
    transactions.map(({ sender, lane, others, makes }, index) => {
      const nonce = nonces.get(`${lane} ${sender}`) ?? 0n
      nonces.set(`${lane} ${sender}`, nonce + 1n)
      const maker = addressOfSketch(sender)
      return {
        block: i + 1,
        index,
        touches: {
          touched: [maker, ...others.map(addressOfSketch), maker],
          sent: lane && { lane, sender: maker, nonce },
          made: makes === undefined ? [] : [{ contract: addressOfSketch(makes), maker }],
        },
      }
    }),
  )
}

const toPlace = ({ block, index }: Known) => ({ blockNumber: BigInt(block), index })

function naive(
  known: readonly Known[],
  { address, from, direction, count }: { address: number; from: number; direction: string; count: number },
) {
  const found = known.filter(
    ({ block, touches }) => (direction === 'below' ? block < from : block > from) && touches.touched.includes(addressOfSketch(address)),
  )
  const ordered = direction === 'below' ? found.toReversed() : found
  const last = ordered[count - 1]
  const page = ordered.filter(({ block }, i) => i < count || block === last?.block)
  return { places: page.map(toPlace), more: page.length < ordered.length }
}

test('every transaction that touches an address, has a nonce, or made a contract, and no other', async () => {
  await fc.assert(
    fc.asyncProperty(
      someBlocks,
      fc.array(aQuestion, { minLength: 1, maxLength: 8 }),
      fc.nat({ max: 30 }),
      async (blocks, questions, size) => {
        const index = createAddressIndex(segmentsInMemory(), size + 1)
        const known = knownOf(blocks)
        for (let block = 1; block <= blocks.length; block++)
          await index.add(
            BigInt(block),
            known.filter((one) => one.block === block).map(({ touches }) => touches),
          )
        for (const question of questions) {
          const { address, from, ...rest } = question
          expect(await index.touching(addressOfSketch(address), { from: BigInt(from), ...rest })).toEqual(naive(known, question))
          const made = known.findLast(({ touches }) => touches.made[0]?.contract === addressOfSketch(address))
          expect(await index.creation(addressOfSketch(address))).toEqual(made && { ...toPlace(made), maker: made.touches.made[0]?.maker })
          for (const lane of ['ethereum', 'native'] as const) {
            const sent = known.find(
              ({ touches }) =>
                touches.sent?.lane === lane && touches.sent.sender === addressOfSketch(address) && touches.sent.nonce === BigInt(from % 5),
            )
            expect(await index.sent(lane, addressOfSketch(address), BigInt(from % 5))).toEqual(sent && toPlace(sent))
          }
        }
      },
    ),
    { numRuns: 200 },
  )
})

test('a segment that was cut off while it was written is made again', async () => {
  const folder = testFolder()
  const touches = (n: number): Touches[] => [{ touched: [addressOfSketch(n), addressOfSketch(9)], sent: undefined, made: [] }]
  let store = await openStore(folder)
  const cutOff = new Error('the power is gone')
  const failing = {
    ...store.addressSegments,
    write: (place: { first: bigint; last: bigint }, entries: Iterable<readonly [Uint8Array, Uint8Array]>) =>
      store.addressSegments.write(
        place,
        (function* () {
          yield* [...entries].slice(0, 1)
          throw cutOff
        })(),
      ),
  }
  const broken = createAddressIndex(failing, 4)
  await broken.add(1n, touches(1))
  await expect(broken.add(2n, touches(2))).rejects.toBe(cutOff)
  await store.close()
  store = await openStore(folder)
  const index = createAddressIndex(store.addressSegments, 4)
  expect(index.reached()).toBe(0n)
  for (const n of [1, 2, 3]) await index.add(BigInt(n), touches(n))
  const range = { from: 9n, direction: 'below' as const, count: 9 }
  const all = [3n, 2n, 1n].map((blockNumber) => ({ blockNumber, index: 0 }))
  expect(await index.touching(addressOfSketch(9), range)).toEqual({ places: all, more: false })
  await store.close()
  store = await openStore(folder)
  const kept = createAddressIndex(store.addressSegments, 4)
  expect(kept.reached()).toBe(2n) // the third was in memory
  expect(await kept.touching(addressOfSketch(9), range)).toEqual({ places: all.slice(1), more: false })
  await store.close()
})

test('who waits for a block is told when it is there, or that it is not', async () => {
  const index = createAddressIndex(segmentsInMemory())
  const waits = index.until(2n, 60_000)
  await index.add(1n, [])
  await index.add(2n, [])
  expect(await waits).toBe(true)
  expect(await index.until(2n, 0)).toBe(true)
  expect(await index.until(3n, 1)).toBe(false)
})

const genesis = testGenesis()
const [alice, bob, carol, dave] = testAccounts
if (!alice || !bob || !carol || !dave) throw new Error('there are test accounts')
const { chainId } = genesis.params
const fees = { chainId, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }

/** Runs what stands behind it as a contract's code. */
const initCode = (code: Hex): Hex => `0x60${((code.length - 2) / 2).toString(16).padStart(2, '0')}80600b6000396000f3${code.slice(2)}`
/** Hands its call data and value on to the CREDITS door's neighbour DATANETS, and ignores what comes of it. */
const FORWARD: Hex = `0x3660006000376000600036600034${'73'}${DOOR.datanets.slice(2)}5af100`

async function nextBlock(chain: ChainState, raws: readonly (Uint8Array | Hex)[]): Promise<void> {
  for (const raw of raws)
    expect(await chain.submit(typeof raw === 'string' ? hexToBytes(raw) : raw)).toEqual(expect.objectContaining({ ok: true }))
  const timestampMs = genesis.timestampMs + 1_000 * Number(chain.head().header.number + 1n)
  const built = await chain.build({ budgetMs: 60_000, timestampMs, feeRecipient: addressOfSketch(0xfee), origin: undefined })
  expect(built.transactions).toHaveLength(raws.length)
  expect(built.receipts.map(({ succeeded, failureCode }) => failureCode ?? succeeded)).toEqual(raws.map(() => true))
  await chain.decide(built.hash, new Uint8Array())
}

function signed(account: typeof alice, type: NativeType, nonce: bigint, fields: FieldValues): Promise<Uint8Array> {
  if (!account) throw new Error('there are test accounts')
  return signNative(account, { type, fields, nonce, chainId })
}

test('behind a chain: native transactions, calls within contracts, doors; again after a restart, of a folder that had none', async () => {
  const folder = testFolder()
  const open = async () => {
    const store = await openStore(folder, { durable: false })
    const mempool = { txsMax: 1_000, bytesMax: 1 << 24, txsPerSenderMax: 100, nonceGapMax: 100, replacementPercent: 10 }
    return { store, chain: await openChainState({ store, genesis, mempool, log: quietLog }) }
  }
  const contract = getContractAddress({ from: alice.address, nonce: 0n }).toLowerCase() as Hex
  let { store, chain } = await open()
  const live = createAddressIndex(store.addressSegments)
  const closeLive = followWithAddresses(chain, createBlocks(chain), live, (error) => expect(error).toBeUndefined())
  const datanet = {
    name: 'poems',
    schemaHash: pad('0x5c', { size: 32 }),
    licence: 1,
    curator: addressOf(bob),
    joinPolicy: 0,
    uploadBond: 0n,
  }
  const contributors = [{ account: addressOf(dave), shareBps: 10_000, role: 1 }]
  const upload = { datanetId: 1, contentRoot: pad('0x1', { size: 32 }), contentId: '0x01', recordCount: 1, byteCount: 1n, contributors }
  const review = { datanetId: 1, uploadIndex: 0, verdict: 1, qualityBps: 9_000, reason: 0 }
  const create = parseAbi([
    'function create(string name, bytes32 schemaHash, uint32 licence, address curator, uint8 joinPolicy, uint96 uploadBond)',
  ])
  const args = ['more', pad('0x5d', { size: 32 }), 1, addressOf(carol), 0, 0n] as const
  await nextBlock(chain, [await alice.signTransaction({ ...fees, nonce: 0, gas: 500_000n, data: initCode(FORWARD) })])
  await nextBlock(chain, [await signed(alice, datanetCreate, 0n, datanet)])
  await nextBlock(chain, [await signed(carol, datanetUpload, 0n, upload)])
  await nextBlock(chain, [
    await bob.signTransaction({ ...fees, nonce: 0, gas: 21_000n, to: addressOf(dave), value: 1n }),
    await signed(bob, datanetReview, 0n, review),
  ])
  await nextBlock(chain, [
    await bob.signTransaction({ ...fees, nonce: 1, gas: 900_000n, to: contract, data: encodeFunctionData({ abi: create, args }) }),
  ])
  const told = async (index: typeof live) => {
    expect(await index.until(5n, 30_000)).toBe(true)
    const heights = async (address: Hex) =>
      (await index.touching(address, { from: 0n, direction: 'above', count: 99 })).places.map(
        ({ blockNumber, index: i }) => `${blockNumber}.${i}`,
      )
    return {
      alice: await heights(addressOf(alice)),
      bob: await heights(addressOf(bob)),
      carol: await heights(addressOf(carol)),
      dave: await heights(addressOf(dave)),
      contract: await heights(contract),
      door: await heights(DOOR.datanets),
      feeRecipient: await heights(addressOfSketch(0xfee)),
      creation: await index.creation(contract),
      second: await index.sent('ethereum', addressOf(bob), 1n),
      review: await index.sent('native', addressOf(bob), 0n),
    }
  }
  // Blocks keep Ethereum's transactions and the native ones in the order in which the pool offers them.
  const reviewIndex = createBlocks(chain).read(4n)?.transactions[0]?.kind === 'native' ? 0 : 1
  const want = {
    alice: ['1.0', '2.0'],
    bob: ['2.0', '4.0', '4.1', '5.0'],
    carol: ['3.0', `4.${reviewIndex}`, '5.0'],
    dave: ['3.0', `4.${1 - reviewIndex}`],
    contract: ['1.0', '5.0'],
    door: ['2.0', '3.0', `4.${reviewIndex}`, '5.0'],
    feeRecipient: [],
    creation: { blockNumber: 1n, index: 0, maker: addressOf(alice) },
    second: { blockNumber: 5n, index: 0 },
    review: { blockNumber: 4n, index: reviewIndex },
  }
  expect(await told(live)).toEqual(want)
  await closeLive()
  await store.close()
  ;({ store, chain } = await open())
  const late = createAddressIndex(store.addressSegments, 4)
  const closeLate = followWithAddresses(chain, createBlocks(chain), late, (error) => expect(error).toBeUndefined())
  expect(await told(late)).toEqual(want)
  await closeLate()
  expect(store.addressSegments.list().length).toBeGreaterThan(0)
  await store.close()
})
