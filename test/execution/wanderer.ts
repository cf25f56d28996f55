/**
 * A wanderer: native transactions of every type, made of what the ledger holds at the time, by whoever may and by whoever may not, with one rule broken now and
 * then. A function of its seed and of the chain.
 */
import secp256k1 from 'secp256k1'
import { bytesToHex, type Hex, hexToBytes, keccak256, toHex, zeroAddress, zeroHash } from 'viem'
import { snapshotRoot } from '../../execution/attribution/commitment.ts'
import type { OpenUpload } from '../../execution/attribution/opening.ts'
import { paramsAt } from '../../execution/ledger/governed.ts'
import { credits, datanets, disputes, draws, getAccount, getCounters, models, uploads, workers } from '../../execution/ledger/tables.ts'
import { modelIdOf } from '../../execution/native/modelRegister.ts'
import { encodeNative, NATIVE_TYPES, signingHash } from '../../execution/native/native.ts'
import type { FieldValues } from '../../execution/native/nativeType.ts'
import { requestDigest } from '../../execution/receipt.ts'
import { decodeTx, type Tx } from '../../execution/tx.ts'
import { type ChainParams, OPEN_WEI } from '../../genesis/params.ts'
import { addressOf, type TestChain, testAccounts, testKeys } from '../fakes/testChain.ts'
import { createRandom } from '../sim/random.ts'
import { disputeOf, FAULTS, type FaultyWindow, makeFaultyWindow, rightKind } from './faultyWindows.ts'
import { type Content, contentOf, MISQUOTES } from './quotes.ts'

const ACCOUNTS = testAccounts.map(addressOf)
const GWEI = 10n ** 9n
/** The network that is walked: the test chain's, on an L1 that wants something for bytes, where an uploader waits for a review no longer than a few blocks. */
export const WALK_PARAMS: Partial<ChainParams> = {
  epochBlocks: 3,
  reviewDelaySec: 8,
  l1BaseFeeScalar: 10n ** 12n,
  l1BlobBaseFeeScalar: 10n ** 9n,
}

const something = keccak256(toHex('something'))

export type Wanderer = {
  /** Up to so many transactions for the next block. Those that no decoder takes are counted and left out. */
  offer(most: number, timeSec: bigint): Tx[]
  /** Reasons for which decoding refused a transaction, and how often. */
  readonly refused: ReadonlyMap<string, number>
  /** Whether the evidence of a dispute shows what it says, by the hash of its transaction: if it is judged at all, so it must be judged. */
  readonly proofs: ReadonlyMap<Hex, boolean>
  /** Who is to be paid what for a window once its attribution was put right, by its receipts' root. */
  readonly rightEntries: ReadonlyMap<Hex, FaultyWindow['rightEntries']>
}

type Chance = {
  /** A whole number below `n`. */
  below(n: number): number
  oneIn(n: number): boolean
  pick<T>(items: readonly T[]): T
}

function chanceOf(seed: number): Chance {
  const random = createRandom(seed)
  const next = (): number => random() * 2 ** 32
  const below = (n: number): number => next() % n
  return {
    below,
    oneIn: (n) => below(n) === 0,
    pick(items) {
      const item = items[below(items.length)]
      if (item === undefined) throw new Error('nothing to pick from')
      return item
    },
  }
}

type Move = { readonly name: string; readonly who: Hex; readonly fields: FieldValues; readonly proves?: boolean }

/** A wanderer on this chain. */
export function createWanderer(chain: TestChain, seed: number): Wanderer {
  const { executor, genesis } = chain
  const chance = chanceOf(seed)
  const { ledger } = executor.state
  const { chainId, epochSec } = genesis.params
  /** What rules the next block. */
  const ruling = () => paramsAt(genesis.params, ledger, chain.head().number + 1n)
  const known: Hex[] = [] // ids of models that were offered
  const contents = new Map<Hex, Content>() // of uploads, by their root
  const snapshots = new Map<Hex, OpenUpload[][]>() // of models
  const rightEntries = new Map<Hex, FaultyWindow['rightEntries']>()
  const windows: FaultyWindow[] = [] // the last ones that were offered as credits
  const refused = new Map<string, number>()
  const proofs = new Map<Hex, boolean>()
  const anyone = (): Hex => chance.pick(ACCOUNTS.slice(0, 7))
  const mostly = (one: Hex | undefined): Hex => (one === undefined || chance.oneIn(5) || !ACCOUNTS.includes(one) ? anyone() : one)
  /** An id that is there, or now and then the one after the last. */
  const upTo = (count: number): number => 1 + chance.below(Math.max(1, count + (chance.oneIn(6) ? 1 : 0)))
  const parts = (count: number): number[] => {
    const cuts = Array.from({ length: count - 1 }, () => 1 + chance.below(9_999)).sort((a, b) => a - b)
    return [...cuts, 10_000].map((cut, i) => cut - (i === 0 ? 0 : (cuts[i - 1] ?? 0)))
  }

  function transfer(): Move {
    const kind = chance.oneIn(30) ? 6 : chance.below(6)
    const amount = kind === 4 ? 0n : chance.oneIn(8) ? 10n ** 25n : BigInt(chance.below(1_000_000_000)) * GWEI
    const to = kind >= 4 ? zeroAddress : chance.oneIn(4) ? toHex(chance.below(50) + 1, { size: 20 }) : anyone()
    return { name: 'Transfer', who: anyone(), fields: { kind, to, amount } }
  }

  function create(): Move {
    const name = chance.oneIn(20) ? '' : `datanet ${chance.below(1_000)}`
    const licence = chance.pick([0x1_000f, 0xf, 0x3, 0x3_0007, 0])
    const rules = { joinPolicy: chance.below(2), uploadBond: BigInt(chance.below(5)) * OPEN_WEI }
    return { name: 'DatanetCreate', who: anyone(), fields: { name, schemaHash: something, licence, curator: anyone(), ...rules } }
  }

  function upload(): Move {
    const datanetId = upTo(getCounters(ledger).datanets)
    const shares = parts(1 + chance.below(4))
    const contributors = shares.map((shareBps, i) => ({
      account: chance.oneIn(3) ? toHex(chance.below(200) + 1, { size: 20 }) : anyone(),
      shareBps: chance.oneIn(40) ? shareBps + 1 : shareBps,
      role: 1 + (i % 3),
    }))
    const who = mostly(datanets.get(ledger, { datanetId })?.owner)
    const text = contentOf(chance.below(4), who)
    contents.set(text.contentRoot, text)
    const known = { contentRoot: text.contentRoot, recordCount: text.records.length }
    const content = chance.oneIn(4) ? { contentRoot: something, recordCount: 1 + chance.below(50) } : known
    return { name: 'DatanetUpload', who, fields: { datanetId, ...content, contentId: '0x01ff', byteCount: 99n, contributors } }
  }

  function review(): Move {
    const datanetId = upTo(getCounters(ledger).datanets)
    const datanet = datanets.get(ledger, { datanetId })
    const verdict = chance.pick([1, 1, 1, 2, 3, 4, 4])
    const whole = verdict === 3 && chance.oneIn(4)
    const uploadIndex = whole ? 0xffffffff : chance.below((datanet?.uploads ?? 0) + 1)
    const reason = verdict === 2 || verdict === 3 ? 1 + chance.below(3) : 0
    const judged = { qualityBps: verdict === 1 ? 1 + chance.below(10_000) : 0, reason }
    const may = verdict === 4 ? uploads.get(ledger, { datanetId, uploadIndex })?.uploader : datanet?.curator
    return { name: 'DatanetReview', who: mostly(may), fields: { datanetId, uploadIndex, verdict, ...judged } }
  }

  /** The accepted uploads of a datanet, with the records of those whose texts are known. */
  function snapshotOf(datanetId: number): OpenUpload[] {
    const count = datanets.get(ledger, { datanetId })?.uploads ?? 0
    return Array.from({ length: count }, (_, uploadIndex) => ({
      uploadIndex,
      upload: uploads.get(ledger, { datanetId, uploadIndex }),
    })).flatMap(({ uploadIndex, upload }) => {
      if (upload?.status !== 2) return []
      const { recordCount, qualityBps, contentRoot, uploader } = upload
      const records = contents.get(contentRoot)?.records ?? []
      return [{ uploadIndex, recordCount, qualityBps, contentRoot, contributor: uploader, records }]
    })
  }

  function model(): Move {
    const count = Math.min(chance.below(4), getCounters(ledger).datanets)
    const ids = Array.from({ length: count }, () => upTo(getCounters(ledger).datanets)).filter((id, i, all) => all.indexOf(id) === i)
    const weights = ids.length === 0 ? [] : parts(ids.length)
    const shown = ids.map(snapshotOf)
    const named = ids.map((datanetId, i) => ({
      datanetId,
      snapshotRoot: (shown[i] ?? []).length > 0 ? snapshotRoot(shown[i] ?? []) : something,
      uploadCount: Math.max(1, (datanets.get(ledger, { datanetId })?.uploads ?? 0) + (chance.oneIn(8) ? 1 : 0)),
      recordCount: Number(datanets.get(ledger, { datanetId })?.records ?? 0n) + (chance.oneIn(8) ? 1 : 0),
      weightBps: weights[i] ?? 0,
    }))
    const [a = 0, b = 0, c = 0] = parts(3)
    const split = ids.length === 0 ? { ownerBps: a + c, workerBps: b, contributorBps: 0 } : { ownerBps: a, workerBps: b, contributorBps: c }
    const hashes = { baseHash: something, adapterHash: zeroHash, tokenizerHash: something, trainingConfigHash: something }
    const price = () => BigInt(chance.below(1_000)) * GWEI
    const prices = { priceBase: price() + 1n, pricePrompt: price(), priceOutput: price() }
    const fields = {
      ...{ name: `model ${chance.below(40)}`, ...hashes, runtimeProfileHash: something, useFlags: chance.pick([0x1_0003, 0x3_0003, 0x3]) },
      ...{ datanets: named, ...prices, ...split, minStake: chance.oneIn(6) ? 10n ** 24n : 0n, maxTier: 1 },
    }
    const who = anyone()
    const modelId = modelIdOf(fields, who)
    known.push(modelId)
    snapshots.set(modelId, shown)
    return { name: 'ModelRegister', who, fields }
  }

  function workerStep(): Move {
    const who = anyone()
    const unused = { hotKey: zeroAddress, runtimeProfileHash: zeroHash, endpoint: '' }
    const action = chance.pick([0, 0, 0, 1, 2])
    const { workerStakeMinWei } = ruling()
    const stake = action === 2 ? 0n : chance.pick([1n, workerStakeMinWei, workerStakeMinWei, workerStakeMinWei * 2n, 10n ** 25n])
    const used = action === 0 ? { hotKey: anyone(), runtimeProfileHash: something, endpoint: 'https://worker.example' } : unused
    return { name: 'WorkerRegister', who, fields: { action, ...used, stake } }
  }

  function credit(): Move {
    const worker = chance.pick([...ACCOUNTS.slice(0, 7).filter((one) => workers.get(ledger, { worker: one })), anyone()])
    const found = known.filter((id) => models.get(ledger, { modelId: id }))
    const modelId = found.length > 0 && !chance.oneIn(12) ? chance.pick(found) : something
    const model = models.get(ledger, { modelId })
    const [count, promptTokens, outputTokens] = [1 + chance.below(20), BigInt(chance.below(500)), BigInt(chance.below(500))]
    const fee =
      BigInt(count) * (model?.priceBase ?? 1n) + promptTokens * (model?.pricePrompt ?? 0n) + outputTokens * (model?.priceOutput ?? 0n)
    const clients = [...new Set(Array.from({ length: 1 + chance.below(3) }, anyone))]
    const each = fee / BigInt(clients.length)
    const amounts = clients.map((_, i) => (i === 0 ? fee - each * BigInt(clients.length - 1) : each) + (chance.oneIn(25) ? 1n : 0n))
    const rest = model ? fee - (fee * BigInt(ruling().protocolBps)) / 10_000n : 0n
    const poolGwei = model ? (rest * BigInt(model.contributorBps)) / 10_000n / GWEI : 0n
    const indexes = [...new Set(Array.from({ length: chance.below(6) }, () => upTo(getCounters(ledger).accounts)))].sort((a, b) => a - b)
    const paid = poolGwei > 0n && poolGwei < 2n ** 40n ? indexes : []
    const amountsGwei = paid.map(() => 1 + Math.floor((Number(poolGwei) / paid.length) * (chance.oneIn(12) ? 1.2 : 0.9)))
    const lastSeq = workers.get(ledger, { worker })?.lastSeq ?? 0n
    const window = {
      worker,
      modelId,
      firstSeq: lastSeq + BigInt(chance.oneIn(12) ? 0 : 1 + chance.below(3)),
      count,
      promptTokens,
      outputTokens,
    }
    const vouchers = clients.map((client, i) => voucher({ client, worker, modelId, amount: amounts[i] ?? 0n }))
    const roots = { receiptsRoot: something, attributionRoot: something }
    const hotKey = workers.get(ledger, { worker })?.hotKey
    const who = chance.oneIn(10) ? anyone() : chance.oneIn(3) && hotKey && ACCOUNTS.includes(hotKey) ? hotKey : worker
    return { name: 'AttributionCredit', who, fields: { ...window, ...roots, draws: vouchers, accounts: paid, amountsGwei } }
  }

  /** What the client signed: everything drawn so far and this, now and then less. */
  function voucher({ client, worker, modelId, amount }: { client: Hex; worker: Hex; modelId: Hex; amount: bigint }) {
    const drawn = draws.get(ledger, { client, worker })?.drawn ?? 0n
    const request = {
      ...{ client, worker, modelId, promptCommit: something, paramsHash: something, seed: 5n, maxOutputTokens: 500, maxFee: OPEN_WEI },
      ...{ cumulativeMaxFee: drawn + amount - (chance.oneIn(15) && amount > 0n ? 1n : 0n), nonce: 1n, deadline: 5_000n },
    }
    return { request, signature: signed(chance.oneIn(30) ? anyone() : client, requestDigest(request, chainId)), amount }
  }

  /** A window with real receipts, of a worker that may credit, drawn from clients that can pay: what a dispute can be about. */
  function window(timeSec: bigint): Move {
    const active = ACCOUNTS.slice(0, 7).filter((one) => {
      const known = workers.get(ledger, { worker: one })
      return known && known.stake >= ruling().workerStakeMinWei && ACCOUNTS.includes(known.hotKey)
    })
    const found = known.filter((id) => models.get(ledger, { modelId: id })?.minStake === 0n)
    if (active.length === 0 || found.length === 0) return workerStep()
    const quotable = found.filter((id) => snapshots.get(id)?.some((one) => one.some(({ records }) => records.length > 0)))
    const [worker, modelId] = [chance.pick(active), chance.pick(quotable.length > 0 && !chance.oneIn(4) ? quotable : found)]
    const [registered, model] = [workers.get(ledger, { worker }), models.get(ledger, { modelId })]
    if (!registered || !model) throw new Error('it was there')
    const payers = ACCOUNTS.slice(0, 7).filter((one) => getAccount(ledger, one).prepaid >= 10n ** 14n)
    if (payers.length === 0) return prepay()
    const clients = [chance.pick(payers), chance.pick(payers), ...(chance.oneIn(2) ? [chance.pick(payers)] : [])]
    const { hotKey, lastSeq } = registered
    const order = {
      fault: chance.pick(quotable.includes(modelId) && chance.oneIn(2) ? MISQUOTES : FAULTS),
      worker,
      hotKey,
      modelId,
      model,
      firstSeq: lastSeq + 1n,
      timeSec,
      clients,
      protocolBps: ruling().protocolBps,
      snapshots: snapshots.get(modelId) ?? [],
      quoted: chance.below(100),
    }
    const made = makeFaultyWindow(chain, order, signed)
    windows.push(made)
    rightEntries.set(made.credit.receiptsRoot, made.rightEntries)
    if (windows.length > 12) windows.shift()
    return { name: 'AttributionCredit', who: worker, fields: made.credit }
  }

  /** Whether a window of late was credited in the last seconds, and nobody has brought it down. */
  function isOpen({ credit: { worker, firstSeq } }: FaultyWindow): boolean {
    const creditIndex = Math.max(0, (workers.get(ledger, { worker })?.credits ?? 0) - 1)
    return credits.get(ledger, { worker, creditIndex })?.firstSeq === firstSeq && !disputes.get(ledger, { worker, creditIndex })
  }

  /** A dispute of a window of late: of its fault or of another, now and then of other entries or of a credit that is not there. */
  function dispute(timeSec: bigint): Move {
    if (windows.length === 0) return window(timeSec)
    const open = windows.filter(isOpen)
    const about = chance.pick(open.length > 0 && !chance.oneIn(5) ? open : windows)
    const { worker, receiptsRoot } = about.credit
    const given = workers.get(ledger, { worker })?.credits ?? 0
    const recordOf = (creditIndex: number) => credits.get(ledger, { worker, creditIndex })
    const index = Array.from({ length: given }, (_, i) => i).findLast((i) => recordOf(i)?.receiptsRoot === receiptsRoot)
    const kind = chance.oneIn(3) ? 1 + chance.below(5) : rightKind(about)
    const { fields, proves } = disputeOf(about, kind, index ?? given)
    const shown = chance.oneIn(15) ? { ...fields, drawn: [] } : fields
    // If the key changed before the credit, none of its receipts is signed as it should be: what is shown depends on more than the fault.
    const isSure = index !== undefined && recordOf(index)?.hotKey === about.hotKey
    return { name: 'CreditDispute', who: anyone(), fields: shown, ...(isSure && { proves }) }
  }

  function claim(timeSec: bigint): Move {
    const matured = Math.floor((Number(timeSec) - ruling().vestingSec) / epochSec) - 1
    const last = chance.oneIn(8) ? matured + 1 : matured
    const count = 1 + chance.below(40)
    return { name: 'Claim', who: anyone(), fields: { epochs: Array.from({ length: count }, (_, i) => last - count + 1 + i) } }
  }

  const MOVES: readonly ((timeSec: bigint) => Move)[] = [
    ...[transfer, transfer, prepay, create, upload, upload, review, review, review],
    ...[model, workerStep, workerStep, credit, credit, credit, credit, claim, claim],
    ...[model, window, window, window, dispute, dispute, dispute, dispute],
  ]

  function prepay(): Move {
    return { name: 'Transfer', who: anyone(), fields: { kind: 2, to: anyone(), amount: BigInt(1 + chance.below(100_000)) * GWEI } }
  }

  return {
    refused,
    proofs,
    rightEntries,
    offer(most, timeSec) {
      const nonces = new Map<Hex, bigint>()
      const txs: Tx[] = []
      for (let left = chance.below(most + 1); left > 0; left--) {
        const { name, who, fields, proves } = chance.pick(MOVES)(timeSec)
        const type = NATIVE_TYPES.find((one) => one.name === name)
        if (!type) throw new Error(`there is no type ${name}`)
        const nonce = nonces.get(who) ?? getAccount(ledger, who).nonce
        const broken = chance.oneIn(40)
        const unsigned = { type, chainId, nonce: broken ? nonce + 1n : nonce, maxFeeWei: chance.oneIn(60) ? 1n : OPEN_WEI, fields }
        const signature = hexToBytes(signed(who, signingHash(unsigned)))
        const split = { r: signature.slice(0, 32), s: signature.slice(32, 64), yParity: signature[64] === 28 ? (1 as const) : (0 as const) }
        const decoded = decodeTx(encodeNative({ ...unsigned, signature: split }), executor.vm.common)
        if (decoded.ok && txs.some(({ hash }) => hash === decoded.tx.hash)) continue // the same once more, by chance
        if (!decoded.ok) refused.set(decoded.code, (refused.get(decoded.code) ?? 0) + 1)
        else txs.push(decoded.tx)
        if (decoded.ok && proves !== undefined) proofs.set(decoded.tx.hash, proves)
        if (decoded.ok && !broken) nonces.set(who, nonce + 1n)
      }
      return txs
    },
  }
}

/** The 65-byte signature of one of the test accounts. */
function signed(who: Hex, digest: Uint8Array): Hex {
  const key = testKeys[ACCOUNTS.indexOf(who)]
  if (!key) throw new Error(`${who} has no key here`)
  const { signature, recid } = secp256k1.ecdsaSign(digest, hexToBytes(key))
  return bytesToHex(Uint8Array.from([...signature, 27 + recid]))
}
