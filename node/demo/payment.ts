/**
 * Who is paid: the window of receipts becomes one credit, its parts are read back from the ledger and compared with what they must be, and when the
 * dispute window is over everybody claims.
 */
import { type Hex, parseEventLogs } from 'viem'
import type { Place } from '../../execution/attribution/attributionRecord.ts'
import { attributionRoot, entriesOf, type Line, windowLines } from '../../execution/attribution/lines.ts'
import { sharesOf } from '../../execution/attribution/shares.ts'
import { splitFee } from '../../execution/native/attributionCredit.ts'
import { creditsDoorAbi, inclusionVerifierAbi, RECEIPT_CODE } from '../../execution/native/doorAbi.ts'
import { receiptPath, receiptsRoot } from '../../execution/receipt.ts'
import { ENTRY_WEI, TREASURY, VERIFIER } from '../../genesis/params.ts'
import type { Snapshot } from './datanet.ts'
import { type Model, type Served, verifyOnChain } from './inference.ts'
import { openOf, type Screen } from './screen.ts'
import { expectThat, included, type Person, type Stage, until } from './stage.ts'

/** Longest wait for the end of the dispute window beyond what the network's times say. */
const VESTING_SLACK_MS = 20_000

/** What one account has of the window. */
export type Part = { readonly role: string; readonly address: Hex; readonly earnedWei: bigint }

/** A part, and what its owner took into its balance for that epoch: `undefined` for the treasury, whose key nobody has. */
export type Claimed = Part & { readonly claimedWei: bigint | undefined }

/** A window that is paid. The parts sum to the fee. */
export type Credited = { readonly feeWei: bigint; readonly epoch: number; readonly parts: readonly Part[] }

/** Sums of the window by ledger account, in gwei: what a credit's entries are. */
type Entries = readonly { readonly account: number; readonly amountGwei: bigint }[]

/** Sends the credit, shows a receipt's place in it, and compares what the ledger gave to whom with what it had to. */
export async function creditWindow(
  stage: Stage,
  screen: Screen,
  { snapshot, model, window }: { readonly snapshot: Snapshot; readonly model: Model; readonly window: readonly Served[] },
): Promise<Credited> {
  const { client, worker, params } = stage
  const [first] = window
  expectThat(first !== undefined, 'nothing was served')
  const feeWei = sumOf(window, ({ receipt }) => receipt.fee)
  const split = splitFee(feeWei, model.prices, params)
  const lines = await linesOf(stage, { snapshot, model, window })
  const { accounts, amountsGwei } = entriesOf(lines)
  const entries = accounts.map((account, i) => ({ account, amountGwei: BigInt(amountsGwei[i] ?? 0) }))
  const hash = await client.creditAttribution({
    account: worker.account,
    worker: worker.address,
    modelId: model.modelId,
    firstSeq: first.receipt.seq,
    count: window.length,
    receiptsRoot: receiptsRoot(window.map((served) => served.signedId)),
    attributionRoot: attributionRoot(lines),
    promptTokens: sumOf(window, ({ receipt }) => BigInt(receipt.promptTokens)),
    outputTokens: sumOf(window, ({ receipt }) => BigInt(receipt.outputTokens)),
    draws: drawsOf(window),
    accounts,
    amountsGwei,
  })
  const { logs, blockNumber } = await included(stage, hash)
  const [credited] = parseEventLogs({ abi: creditsDoorAbi, eventName: 'Credited', logs })
  expectThat(credited?.args.fee === feeWei, `the credit's fee is ${credited?.args.fee}, not ${feeWei}`)
  const { creditIndex, toContributors } = credited.args
  const record = await client.getCredit({ worker: worker.address, creditIndex })
  expectThat(record !== undefined, 'the credit left no record')
  const { epoch } = record
  const facts = { worker: worker.address, creditIndex, blockNumber, epoch, feeWei, toContributorsWei: toContributors, transaction: hash }
  screen.step(
    'credit',
    `one credit for ${window.length} receipts: ${openOf(feeWei)} OPEN, ${openOf(toContributors)} of it by attribution`,
    facts,
  )
  await showInclusion(stage, screen, window, record.receiptsRoot)

  const wanted = await wantedParts(stage, split, entries)
  const parts = await partsOf(stage, wanted, { epoch, blockNumber })
  expectThat(sumOf(parts, ({ earnedWei }) => earnedWei) === feeWei, 'the parts do not add up to the fee')
  screen.step('split', `the ledger split it among ${parts.length} accounts, to the wei`, { epoch, parts })
  return { feeWei, epoch, parts }
}

/** Waits until the credit's dispute window is over, then everybody claims. Answers the block of the last claim, too. */
export async function claimAll(
  stage: Stage,
  screen: Screen,
  { epoch, parts }: Omit<Credited, 'feeWei'>,
): Promise<{ claims: Claimed[]; lastBlock: bigint }> {
  const { client, params } = stage
  const maturesAt = BigInt((epoch + 1) * params.epochSec + params.vestingSec)
  const waitMs = (params.epochSec + params.vestingSec) * 1_000 + VESTING_SLACK_MS
  await until(`the end of epoch ${epoch}'s dispute window`, waitMs, async () =>
    (await client.getBlock()).timestamp >= maturesAt ? true : undefined,
  )
  screen.step('vested', `epoch ${epoch} is over, and so are the ${params.vestingSec} s in which it could be disputed`, { epoch, maturesAt })

  const people = everybody(stage)
  const sent: { readonly part: Part; readonly hash: Hex | undefined }[] = []
  for (const part of parts) {
    const person = people.find(({ address }) => address === part.address)
    sent.push({ part, hash: person && (await client.claimEarnings({ account: person.account, epochs: [epoch] })) })
  }
  const claims: Claimed[] = []
  let lastBlock = 0n
  for (const { part, hash } of sent) {
    if (hash === undefined) {
      claims.push({ ...part, claimedWei: undefined })
      continue
    }
    const { logs, blockNumber } = await included(stage, hash)
    const [claimed] = parseEventLogs({ abi: creditsDoorAbi, eventName: 'Claimed', logs })
    // An epoch's earnings are claimed as one: more than this window's part if another run was paid within the same seconds.
    expectThat(
      claimed !== undefined && claimed.args.amount >= part.earnedWei,
      `the ${part.role} claimed ${claimed?.args.amount} of ${part.earnedWei}`,
    )
    claims.push({ ...part, claimedWei: claimed.args.amount })
    if (blockNumber > lastBlock) lastBlock = blockNumber
  }
  screen.step('claims', `${sent.filter(({ hash }) => hash !== undefined).length} accounts claimed; the last one in block ${lastBlock}`, {
    lastBlock,
  })
  return { claims, lastBlock }
}

/** The window's books: what each receipt adds to which number of the credit. */
async function linesOf(
  { client, params }: Stage,
  { snapshot, model, window }: { readonly snapshot: Snapshot; readonly model: Model; readonly window: readonly Served[] },
): Promise<Line[]> {
  const { records, sources } = snapshot
  const context = { recordCount: records.length, sourceOf: ({ uploadIndex }: Place) => sources.get(uploadIndex) }
  const accounts = new Map<Hex, number>()
  for (const { request } of window) {
    if (!accounts.has(request.client)) accounts.set(request.client, (await client.getLedgerAccount({ account: request.client })).index)
  }
  const receipts = window.map(({ request, receipt, attribution }) => ({
    ...receipt,
    clientAccount: accounts.get(request.client) ?? 0,
    shares: sharesOf(attribution, context).accounts,
  }))
  return windowLines(receipts, { protocolBps: params.protocolBps, contributorBps: model.prices.contributorBps })
}

/** One draw a client: the last request that it signed, and all that the window takes from it. */
function drawsOf(window: readonly Served[]) {
  const draws = new Map<Hex, { request: Served['request']; signature: Hex; amount: bigint }>()
  for (const { request, requestSig, receipt } of window) {
    draws.set(request.client, { request, signature: requestSig, amount: (draws.get(request.client)?.amount ?? 0n) + receipt.fee })
  }
  return [...draws.values()]
}

/** Shows that anybody can place a receipt in the credit, and that it cannot be credited again. */
async function showInclusion(stage: Stage, screen: Screen, window: readonly Served[], root: Hex): Promise<void> {
  const { client } = stage
  const index = Math.floor(window.length / 2)
  const served = window[index]
  expectThat(served !== undefined, 'nothing was served')
  const path = receiptPath(
    window.map((one) => one.signedId),
    index,
  )
  const call = { address: VERIFIER.inclusion, abi: inclusionVerifierAbi, functionName: 'verifyInclusion' } as const
  const isIncluded = await client.readContract({ ...call, args: [root, index, window.length, served.signedId, path] })
  const isElsewhere = await client.readContract({ ...call, args: [root, index + 1, window.length, served.signedId, path] })
  expectThat(isIncluded && !isElsewhere, 'the inclusion verifier does not find the receipt in its place, or finds it in another')
  const replayedCode = await verifyOnChain(stage, served)
  expectThat(replayedCode === RECEIPT_CODE.replayed, `a receipt that is credited got code ${replayedCode}`)
  const sentence = `receipt ${index} is in the credit, shown with ${path.length} hashes; to credit it again is refused (code ${replayedCode})`
  screen.step('inclusion', sentence, { root, index, count: window.length, receiptId: served.receiptId, path, replayedCode })
}

type Wanted = ReadonlyMap<Hex, { readonly role: string; readonly amountWei: bigint }>

/** What everybody must have, computed here. */
async function wantedParts(stage: Stage, split: ReturnType<typeof splitFee>, entries: Entries): Promise<Wanted> {
  const { client, owner, contributors, modelOwner, worker } = stage
  const wanted = new Map<Hex, { role: string; amountWei: bigint }>()
  for (const { role, address } of contributors) {
    const { index } = await client.getLedgerAccount({ account: address })
    const amountGwei = entries.find(({ account }) => account === index)?.amountGwei ?? 0n
    wanted.set(address, { role, amountWei: amountGwei * ENTRY_WEI })
  }
  const poolWei = split.contributorsWei - sumOf(entries, ({ amountGwei }) => amountGwei * ENTRY_WEI)
  wanted.set(worker.address, { role: worker.role, amountWei: split.workerWei })
  wanted.set(modelOwner.address, { role: modelOwner.role, amountWei: split.ownerWei })
  wanted.set(owner.address, { role: owner.role, amountWei: poolWei })
  wanted.set(TREASURY, { role: 'treasury', amountWei: split.protocolWei })
  return wanted
}

/** What the credit's block added to everybody's earnings; DemoError if it is not what it must be. */
async function partsOf({ client }: Stage, wanted: Wanted, { epoch, blockNumber }: { epoch: number; blockNumber: bigint }): Promise<Part[]> {
  const earnedAt = async (account: Hex, block: bigint) =>
    sumOf(await client.getEarnings({ account, epochs: [epoch], blockNumber: block }), ({ amount }) => amount)
  const parts: Part[] = []
  for (const [address, { role, amountWei }] of wanted) {
    const earnedWei = (await earnedAt(address, blockNumber)) - (await earnedAt(address, blockNumber - 1n))
    expectThat(earnedWei === amountWei, `the ${role} earned ${earnedWei} wei, not ${amountWei}`)
    if (earnedWei > 0n) parts.push({ role, address, earnedWei })
  }
  return parts
}

function everybody({ owner, contributors, modelOwner, worker }: Stage): readonly Person[] {
  return [...contributors, worker, modelOwner, owner]
}

function sumOf<T>(list: readonly T[], amountOf: (item: T) => bigint): bigint {
  return list.reduce((sum, item) => sum + amountOf(item), 0n)
}
