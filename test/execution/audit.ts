/**
 * An auditor of blocks: it executes what a block does to the ledger once more, one transaction after another on records of its own and without
 * the EVM, and after each holds the promises of docs/spec against what changed. What is paid out is worked out here from the specification, and
 * not by the rules' own functions.
 */
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { judgeEvidence } from '../../consensus/evidence.ts'
import type { BlockResult } from '../../execution/applyBlock.ts'
import { attributionEvidence, booksEvidence, DISPUTE_KIND } from '../../execution/disputes/evidence.ts'
import { type DataPrice, dataPriceIn } from '../../execution/fee.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { applyDepositToLedger, applyNativeToLedger, applyOperationToLedger, applyReportToLedger } from '../../execution/laneRules.ts'
import { EARNERS_PER_RECORD } from '../../execution/ledger/earnings.ts'
import { paramsAt } from '../../execution/ledger/governed.ts'
import { createLedger, type JournaledLedger } from '../../execution/ledger/ledger.ts'
import { accounts, datanets, disputes, earnings, getAccount, getSupply, models, uploads, workers } from '../../execution/ledger/tables.ts'
import { createLedgerTree, EMPTY, rootHex, treeKey } from '../../execution/ledger/tree.ts'
import { VERDICT } from '../../execution/native/datanetReview.ts'
import type { FieldValues } from '../../execution/native/nativeType.ts'
import { attachmentsOf, encodeRow } from '../../execution/native/row.ts'
import { decodeReceipt } from '../../execution/receipt.ts'
import type { NativeTx, Tx } from '../../execution/tx.ts'
import { amountBytes, varintBytes } from '../../execution/varint.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import { checkGoverned } from '../../genesis/governed.ts'
import { type ChainParams, DOOR, TREASURY } from '../../genesis/params.ts'
import { type LedgerRecord, ledgerValueWei } from '../fakes/ledger.ts'
import { createVoteBook } from './votes.ts'

/** How often operations of a type succeeded and failed, `Claim native failed: notMatured` for one. */
export type Tally = ReadonlyMap<string, number>

export type Auditor = {
  /** Throws, with the facts, where the block breaks a promise. Blocks come in order. */
  audit(block: BlockResult): void
  readonly tally: Tally
}

const WITHDRAWN = 5
/** From which status of an upload to which (docs/spec/ledger.md#tables): none before it is there. */
const STATUS_STEPS: readonly (readonly [number | undefined, number])[] = [
  [undefined, 1],
  [1, 2],
  [1, 3],
  [1, WITHDRAWN],
  [2, 4],
]

type Rules = { readonly params: ChainParams; readonly env: Env; readonly dataPrice: DataPrice }
type Env = { readonly number: bigint; readonly timestamp: bigint; readonly miner: Hex; readonly baseFeePerGas: bigint }
type Change = {
  readonly table: number
  readonly id: Uint8Array
  readonly before: Uint8Array | undefined
  readonly after: Uint8Array | undefined
}
type Credit = {
  readonly worker: Hex
  readonly modelId: Hex
  readonly receiptsRoot: Hex
  readonly draws: readonly { readonly amount: bigint; readonly request: { readonly client: Hex } }[]
  readonly accounts: readonly number[]
  readonly amountsGwei: readonly number[]
}
type Dispute = { readonly kind: number; readonly worker: Hex; readonly creditIndex: number; readonly evidence: Hex }
/** A credit as it was taken, and who earned what of it. */
type Booked = {
  readonly credit: Credit
  readonly epoch: bigint
  readonly protocolBps: number
  readonly parts: readonly [account: number, wei: bigint][]
}
/** What a dispute may change, as it is at one time. */
type Purse = {
  readonly atStakeWei: bigint
  readonly unbondingWei: bigint
  readonly balances: readonly bigint[]
  readonly prepaid: readonly bigint[]
}

/** Who is to be paid what for a window once its attribution was put right, by its receipts' root. */
type RightEntries = ReadonlyMap<Hex, Pick<Credit, 'accounts' | 'amountsGwei'>>

/** An auditor of the chain that begins with this genesis. */
export function createAuditor(genesis: Genesis, rightEntries: RightEntries = new Map()): Auditor {
  const records = new Map<string, LedgerRecord>()
  const ledger = createLedger((table, id) => records.get(keyOf(table, id))?.record)
  /** What every account earned in every epoch and did not claim, by `account/epoch`. */
  const owed = new Map<string, bigint>()
  /** When each epoch matures, as its first credit made it, and until when each worker answers for its credits, and did when it last unbonded. */
  const maturity = new Map<bigint, bigint>()
  const liable = new Map<Hex, bigint>()
  const unbondedLiable = new Map<Hex, bigint>()
  /** Every credit, by `worker/index`. */
  const booked = new Map<string, Booked>()
  const votes = createVoteBook(genesis.params)
  const tally = new Map<string, number>()
  for (const { table, id, record } of createGenesisBlock(genesis).writes.ledgerRecords)
    if (record) records.set(keyOf(table, id), { table, id, record })

  function takeChanges(): Change[] {
    return ledger.takeChanges().map(({ table, id, record }) => {
      const key = keyOf(table, id)
      const before = records.get(key)?.record
      if (record) records.set(key, { table, id, record })
      else records.delete(key)
      return { table, id, before, after: record }
    })
  }

  function count(what: string): void {
    tally.set(what, (tally.get(what) ?? 0) + 1)
  }

  /** Stake leaves only when no credit behind which it stood can be disputed any more. */
  function checkStake(sender: Hex, { action }: FieldValues, { timestamp }: Env): void {
    if (action === 1) unbondedLiable.set(sender, liable.get(sender) ?? 0n)
    const until = unbondedLiable.get(sender) ?? 0n
    check(action !== 2 || timestamp >= until, 'stake left while a credit could be disputed', { sender, timestamp, until })
  }

  /** The earnings that an operation which succeeded has to leave, epoch by epoch. */
  function bookEarnings(name: string, sender: Hex, fields: FieldValues, { params, env }: Rules): void {
    if (name === 'AttributionCredit') {
      const epoch = env.timestamp / BigInt(params.epochSec)
      const matures = maturity.get(epoch) ?? (epoch + 1n) * BigInt(params.epochSec) + BigInt(params.vestingSec)
      maturity.set(epoch, matures)
      const { worker } = fields as unknown as Credit
      if (matures > (liable.get(worker) ?? 0n)) liable.set(worker, matures)
      const credit = fields as unknown as Credit
      const parts = splitByTheSpec(ledger, credit, params)
      for (const [account, wei] of parts) addTo(owed, `${account}/${epoch}`, wei)
      const { credits = 0 } = workers.get(ledger, { worker: credit.worker }) ?? {}
      booked.set(`${credit.worker}/${credits - 1}`, { credit, epoch, protocolBps: params.protocolBps, parts })
    }
    if (name === 'WorkerRegister') checkStake(sender, fields, env)
    if (name !== 'Claim') return
    const { index } = getAccount(ledger, sender)
    for (const epoch of fields.epochs as number[]) {
      const matures = maturity.get(BigInt(epoch)) ?? (BigInt(epoch) + 1n) * BigInt(params.epochSec) + BigInt(params.vestingSec)
      check(env.timestamp >= matures, 'claimed before it matured', { epoch, now: env.timestamp })
      owed.delete(`${index}/${epoch}`)
    }
  }

  function purseOf({ worker, creditIndex }: Dispute, challenger: Hex): Purse {
    const { stake = 0n, unbonding = 0n } = workers.get(ledger, { worker }) ?? {}
    const draws = booked.get(`${worker}/${creditIndex}`)?.credit.draws ?? []
    return {
      ...{ atStakeWei: stake + unbonding, unbondingWei: unbonding },
      balances: [challenger, TREASURY].map((address) => getAccount(ledger, address).balance),
      prepaid: draws.map(({ request }) => getAccount(ledger, request.client).prepaid),
    }
  }

  /**
   * Watches a dispute: what it returns checks, once it succeeded, where bond, slash and drawn value went, and books the earnings that it has to leave. Fees are
   * what the challenger and the treasury lose and get anyway. Spec: docs/spec/disputes.md#what-comes-of-it
   */
  function watchDispute(
    fields: Dispute,
    challenger: Hex,
    { params, env }: Rules,
    fees: { challenger: bigint; treasury: bigint; bond: bigint },
  ) {
    const { kind, worker, creditIndex } = fields
    const was = disputes.get(ledger, { worker, creditIndex })
    const before = purseOf(fields, challenger)
    return () => {
      const about = booked.get(`${worker}/${creditIndex}`)
      check(about !== undefined && was === undefined, 'a dispute of no credit, or of one that fell', { fields })
      const matures = maturity.get(about.epoch) ?? 0n
      check(env.timestamp < matures, 'disputed after it matured', { fields, now: env.timestamp })
      const upheld = disputes.get(ledger, { worker, creditIndex }) !== undefined
      const after = purseOf(fields, challenger)
      const slashed = before.atStakeWei - after.atStakeWei
      const wanted = upheld ? slashBySpec(fields, before.atStakeWei, params) : 0n
      check(slashed === wanted, 'another slash', { fields, slashed, wanted })
      const ofUnbonding = slashed < before.unbondingWei ? slashed : before.unbondingWei
      check(after.unbondingWei === before.unbondingWei - ofUnbonding, 'slashed of the stake first', { before, after })
      const reward = (slashed * BigInt(params.challengerBps)) / 10_000n
      const moved = upheld ? [reward, slashed - reward] : [-fees.bond, params.disputeBondWei]
      const got = after.balances.map((wei, i) => wei - (before.balances[i] ?? 0n))
      const due = [(moved[0] ?? 0n) - fees.challenger, (moved[1] ?? 0n) + fees.treasury]
      check(
        got.every((wei, i) => wei === due[i]),
        'bond or slash went elsewhere',
        { fields, got, due },
      )
      count(`CreditDispute of kind ${kind} ${upheld ? 'upheld' : 'not upheld'}`)
      const entries = upheld ? entriesBySpec(fields, about.credit, rightEntries) : about.credit
      const refunds = after.prepaid.map((wei, i) => wei - (before.prepaid[i] ?? 0n))
      const drawn = about.credit.draws.map(({ amount }) => (entries ? 0n : amount))
      check(
        refunds.every((wei, i) => wei === drawn[i]),
        'clients got back another amount',
        { fields, refunds, drawn },
      )
      if (!upheld) return
      if (entries && String(entries.amountsGwei) !== String(about.credit.amountsGwei))
        count(`CreditDispute of kind ${kind} changed who is paid`)
      for (const [account, wei] of about.parts) addTo(owed, `${account}/${about.epoch}`, -wei)
      const parts = entries ? splitByTheSpec(ledger, { ...about.credit, ...entries }, about) : []
      for (const [account, wei] of parts) addTo(owed, `${account}/${about.epoch}`, wei)
    }
  }

  function applyNative(tx: NativeTx, wanted: string | undefined, rules: Rules): void {
    const { native, sender, gas } = tx
    const { name } = native.type
    const parties = [sender, TREASURY, rules.env.miner].map((address) => [address, getAccount(ledger, address)] as const)
    const fee = gas * rules.env.baseFeePerGas
    // What the row holds, its head counted as 84, a verdict as 1,600; and what stands in the tail for it.
    const { type, nonce, maxFeeWei } = native
    const held = encodeRow({ kind: 'native', native }).length - 65 - varintBytes(nonce) - amountBytes(maxFeeWei)
    const behind = attachmentsOf({ kind: 'native', native }).reduce((sum, { length }) => sum + length, 0)
    const paid = 84 + held + behind + (type.name === 'CreditDispute' ? 1_600 - 1 : 0)
    const forBytes = (BigInt(paid) * rules.dataPrice.weiPerMillionBytes) / 1_000_000n
    const fees = { challenger: fee + forBytes, treasury: fee / 2n + forBytes, bond: rules.params.disputeBondWei }
    const audited = name === 'CreditDispute' ? watchDispute(native.fields as Dispute, sender, rules, fees) : undefined
    const result = applyNativeToLedger({ ledger, ...rules }, tx)
    check(result.ok && result.failureCode === wanted, 'another outcome than the receipt', { name, result, wanted })
    count(`${name} native ${wanted === undefined ? 'succeeded' : `failed: ${wanted}`}`)
    count(`${name} ${wanted === undefined ? 'succeeded' : 'failed'}`)
    if (wanted === undefined) {
      if (name === 'DatanetReview' && native.fields.verdict === VERDICT.withdraw) count('DatanetReview withdrew')
      bookEarnings(name, sender, native.fields, rules)
      audited?.()
      return
    }
    // Status 0: the fee moved, the nonce is used, and nothing else is different.
    const moved: [Hex, bigint][] = [
      [sender, -fee - forBytes],
      [TREASURY, fee / 2n + forBytes],
      [rules.env.miner, fee - fee / 2n],
    ]
    for (const [address, before] of parties) {
      const after = getAccount(ledger, address)
      const balance = moved.reduce((sum, [who, wei]) => (who === address ? sum + wei : sum), before.balance)
      const nonce = before.nonce + (address === sender ? 1n : 0n)
      const same = after.prepaid === before.prepaid && after.unlockAt === before.unlockAt
      check(after.balance === balance && after.nonce === nonce && same, 'a failure changed more', { name, address, before, after })
    }
    const changed = ledger.takeChanges()
    const allowed = new Set(parties.map(([address]) => keyOf(accounts.number, hexToBytes(address))))
    for (const { table, id, record } of changed) {
      // New accounts of the parties may take an index, which the counters tell.
      check(table === 0 || allowed.has(keyOf(table, id)), 'a failure changed another record', { name, table, id })
      if (record) records.set(keyOf(table, id), { table, id, record })
    }
  }

  /** A call of the PARAMS door succeeds if the specification says so, and changes nothing else. */
  function checkVote(tx: Tx, succeeded: boolean, { number }: Env): void {
    if (tx.kind !== 'deposit' || tx.deposit.to !== DOOR.params) return
    const refused = votes.take({ sender: tx.sender, data: tx.deposit.data }, number)
    check(succeeded === (refused === undefined), 'a vote came to something else', { refused, data: tx.deposit.data })
    count(refused === undefined ? 'ParamSet succeeded' : 'ParamSet failed')
    if (refused !== undefined) count(`ParamSet failed: ${refused}`)
  }

  /** What rules the block is what was voted for before it, and within every bound. */
  function checkParams(params: ChainParams, blockNumber: bigint): void {
    for (const [name, value] of votes.ruling(blockNumber)) {
      const ruling = params[name as keyof ChainParams]
      check(BigInt(ruling as bigint) === value, 'another parameter than was voted for', { name, value, ruling })
    }
    check(checkGoverned(params) === undefined, 'parameters out of bounds', { wrong: checkGoverned(params) })
  }

  function applyOne(tx: Tx, txIndex: number, block: BlockResult, rules: Rules): void {
    const receipt = block.receipts[txIndex]
    const operations = block.operations.filter((one) => one.txIndex === txIndex).map(({ operation }) => operation)
    check(receipt !== undefined, 'a transaction without a receipt', { txIndex })
    check(receipt.succeeded || operations.length === 0, 'a transaction failed and did something', { txIndex })
    check(tx.kind !== 'native' || receipt.succeeded === (receipt.failureCode === undefined), 'a status that is not its code', { receipt })
    checkVote(tx, receipt.succeeded, rules.env)
    if (tx.kind === 'native') applyNative(tx, receipt.failureCode, rules)
    if (tx.kind === 'deposit') applyDepositToLedger({ ledger, ...rules }, tx.deposit)
    if (tx.kind === 'report') {
      const result = applyReportToLedger({ ledger, judgeEvidence, ...rules }, tx.report)
      check(result.ok && receipt.succeeded, 'a report that the rules refuse', { result })
      count('EvidenceReport convicted')
    }
    for (const operation of operations) {
      const { type, fields, caller } = operation
      const fees = { challenger: 0n, treasury: 0n, bond: 0n } // the EVM's side brought the bond
      const audited = type.name === 'CreditDispute' ? watchDispute(fields as Dispute, caller, rules, fees) : undefined
      const result = applyOperationToLedger({ ledger, ...rules }, operation)
      check(result.ok, 'an operation that the rules refuse', { result })
      count(`${type.name} through a door`)
      bookEarnings(type.name, caller, fields, rules)
      audited?.()
    }
  }

  /** A bond is held while its upload is pending, which it never is again; an uploader may end the wait when it was long enough, or its datanet is no more. */
  function checkUpload({ id, before, after }: Change, { params, env }: Rules): void {
    const [was, now] = [before && uploads.decode(before).status, after && uploads.decode(after)]
    check(now !== undefined, 'an upload that vanished', { id })
    const isStep = STATUS_STEPS.some(([from, to]) => from === was && to === now.status)
    check(isStep, 'a status that does not follow', { id, was, now })
    if (now.status !== WITHDRAWN) return
    const isRetired = datanets.decode(records.get(keyOf(datanets.number, id.subarray(0, 4)))?.record ?? new Uint8Array()).status === 2
    check(isRetired || env.timestamp >= now.atSec + BigInt(params.reviewDelaySec), 'withdrawn before the delay', { id, now })
  }

  function checkLedger(changes: readonly Change[], depositedBefore: bigint, { tx, rules }: { tx: Tx; rules: Rules }): void {
    for (const change of changes.filter(({ table }) => table === uploads.number)) checkUpload(change, rules)
    const { deposited } = getSupply(ledger)
    const mint = tx.kind === 'deposit' ? tx.deposit.mintWei : 0n
    check(deposited === depositedBefore + mint, 'deposited is not what came in', { deposited, depositedBefore, mint })
    const everywhere = ledgerValueWei(records.values())
    check(everywhere === deposited, 'value was made or lost', { everywhere, deposited })
    for (const { id, after } of changes.filter(({ table }) => table === earnings.number)) {
      const [epoch, group = 0] = [id.subarray(0, 4), id.subarray(4)].map((part) => Number.parseInt(bytesToHex(part), 16))
      const amounts = after ? earnings.decode(after).amounts : Array.from({ length: EARNERS_PER_RECORD }, () => 0n)
      check(amounts.length === EARNERS_PER_RECORD && (!after || amounts.some((wei) => wei > 0n)), 'no record of earnings', { epoch, group })
      for (const [place, earned] of amounts.entries()) {
        const account = group * EARNERS_PER_RECORD + place
        check(earned === (owed.get(`${account}/${epoch}`) ?? 0n), 'earnings that nobody owes, or less', { account, epoch, earned })
      }
    }
  }

  return {
    tally,
    audit(block) {
      const { number, timestamp, miner, baseFeePerGas } = block.block.header
      const params = paramsAt(genesis.params, ledger, number)
      checkParams(params, number)
      check(block.block.header.gasLimit === params.blockGasLimit, 'another gas limit than rules', { number })
      for (const [txIndex, tx] of block.transactions.entries()) {
        const { deposited } = getSupply(ledger)
        // The deposits, which come first, tell what L1 asks for bytes.
        const rules = { params, env: { number, timestamp, miner, baseFeePerGas }, dataPrice: dataPriceIn(ledger, params) }
        applyOne(tx, txIndex, block, rules)
        checkLedger(takeChanges(), deposited, { tx, rules })
      }
      const standing = [...records.values()].filter(({ table }) => table === earnings.number)
      const sum = standing.reduce((all, { record }) => all + sumOf(earnings.decode(record).amounts), 0n)
      const due = sumOf([...owed.values()])
      check(sum === due, 'earnings are not what is owed', { sum, due })
      check(rootOf(records.values()) === block.roots.ledgerRoot, 'another ledger root', { number })
    },
  }
}

/**
 * The parts of a credit's fee, by account index: protocol, worker, owner, one for each entry, and what no entry took to the datanets' owners. They are the fee.
 * Spec: docs/spec/transactions.md#0x56-attributioncredit
 */
function splitByTheSpec(
  ledger: JournaledLedger,
  credit: Credit,
  { protocolBps }: Pick<ChainParams, 'protocolBps'>,
): [account: number, wei: bigint][] {
  const model = models.get(ledger, { modelId: credit.modelId })
  check(model !== undefined, 'a credit without a model', { credit })
  const fee = credit.draws.reduce((sum, { amount }) => sum + amount, 0n)
  const part = (wei: bigint, bps: number): bigint => (wei * BigInt(bps)) / 10_000n
  const protocol = part(fee, protocolBps)
  const rest = fee - protocol
  const [worker, contributors] = [part(rest, model.workerBps), part(rest, model.contributorBps)]
  const entries = credit.amountsGwei.map((gwei) => BigInt(gwei) * 1_000_000_000n)
  const pool = contributors - entries.reduce((sum, wei) => sum + wei, 0n)
  check(pool >= 0n, 'entries above the contributors’ part', { pool })
  const shares = model.datanets.map(({ weightBps }) => part(pool, weightBps))
  const left = pool - shares.reduce((sum, wei) => sum + wei, 0n)
  const indexOf = (address: Hex): number => getAccount(ledger, address).index
  const owners = model.datanets.map(({ datanetId }) => indexOf(datanets.get(ledger, { datanetId })?.owner ?? '0x'))
  const parts: [number, bigint][] = [
    [indexOf(TREASURY), protocol],
    [indexOf(credit.worker), worker],
    [indexOf(model.owner), rest - worker - contributors],
    ...credit.accounts.map((account, i): [number, bigint] => [account, entries[i] ?? 0n]),
    ...owners.map((owner, i): [number, bigint] => [owner, (shares[i] ?? 0n) + (i === 0 ? left : 0n)]),
  ]
  check(parts.reduce((sum, [, wei]) => sum + wei, 0n) === fee, 'the parts are not the fee', { fee, parts })
  return parts.filter(([, wei]) => wei > 0n)
}

/** What an upheld dispute costs the worker. Spec: docs/spec/disputes.md#what-comes-of-it */
function slashBySpec({ kind, evidence }: Dispute, atStakeWei: bigint, params: ChainParams): bigint {
  const { slashEquivocationBps, slashBadLeafBps, slashWrongSumBps, slashAttributionBps } = params
  const bps = [0, slashEquivocationBps, slashBadLeafBps, slashBadLeafBps, slashWrongSumBps, slashAttributionBps][kind] ?? 0
  const part = (atStakeWei * BigInt(bps)) / 10_000n
  if (kind !== DISPUTE_KIND.wrongAttribution) return part
  const shown = attributionEvidence.unpack(hexToBytes(evidence))
  const receipt = shown && decodeReceipt(hexToBytes(shown.served.receipt))
  check(receipt !== undefined, 'upheld without a receipt', { evidence })
  const due = 20n * receipt.fee > part ? 20n * receipt.fee : part
  return due < atStakeWei ? due : atStakeWei
}

/** The entries that an upheld dispute leaves; undefined: none, the credit is void. Spec: docs/spec/disputes.md#what-comes-of-it */
function entriesBySpec(
  { kind, evidence }: Dispute,
  credit: Credit,
  rightEntries: RightEntries,
): Pick<Credit, 'accounts' | 'amountsGwei'> | undefined {
  if (kind === DISPUTE_KIND.wrongAttribution) {
    const right = rightEntries.get(credit.receiptsRoot)
    check(right !== undefined, 'a window that nobody made', { credit })
    return right
  }
  const books = kind === DISPUTE_KIND.wrongBooks ? booksEvidence.unpack(hexToBytes(evidence)) : undefined
  if (!books || !credit.accounts.includes(books.key)) return undefined
  // The number of a contributor without lines is 0.
  const kept = credit.accounts
    .map((account, i) => [account, credit.amountsGwei[i] ?? 0] as const)
    .filter(([account]) => account !== books.key)
  return { accounts: kept.map(([account]) => account), amountsGwei: kept.map(([, gwei]) => gwei) }
}

/** The root over a set of records, from nothing. */
function rootOf(records: Iterable<LedgerRecord>): Hex {
  const entries = new Map<Hex, Uint8Array>()
  const tree = createLedgerTree(EMPTY, (key) => entries.get(bytesToHex(key)))
  const changes = [...records].map(({ table, id, record }) => ({ key: treeKey(table, id), record }))
  tree.commit(changes, ({ key, bytes }) => entries.set(bytesToHex(key), bytes))
  return rootHex(tree)
}

function keyOf(table: number, id: Uint8Array): string {
  return `${table}:${bytesToHex(id)}`
}

function addTo(map: Map<string, bigint>, key: string, wei: bigint): void {
  map.set(key, (map.get(key) ?? 0n) + wei)
}

function sumOf(amounts: readonly bigint[]): bigint {
  return amounts.reduce((sum, amount) => sum + amount, 0n)
}

function check(holds: boolean, what: string, facts: Readonly<Record<string, unknown>>): asserts holds {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(facts, (_, value) => (typeof value === 'bigint' ? `${value}` : value))}`)
}
