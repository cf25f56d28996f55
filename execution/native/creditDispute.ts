/**
 * 0x57 CreditDispute: one proof that a credit is wrong. Upheld, the worker loses stake, the challenger is paid of it, and the credit's unvested
 * earnings are taken back and paid right; not upheld, the challenger's bond is lost. Spec: docs/spec/disputes.md
 */
import { hexToBytes, parseAbiItem, parseAbiParameters } from 'viem'
import { BPS, type ChainParams, DOOR, ENTRY_WEI, LIMIT, NATIVE_GAS, TREASURY, TX_TYPE } from '../../genesis/params.ts'
import { assert } from '../assert.ts'
import { judgeAttribution } from '../disputes/attribution.ts'
import { judgeBooks } from '../disputes/books.ts'
import { type Case, DISPUTE_KIND, type Judgement } from '../disputes/evidence.ts'
import { changedEntries, partsOf, replaceEarnings, statedEntries } from '../disputes/parts.ts'
import { judgeBadLeaf, judgeDoubleUse, judgeEquivocation } from '../disputes/receipts.ts'
import type { FieldsOf } from '../fields.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { maturityOf } from '../ledger/maturity.ts'
import { addBalance, credits, disputes, models, workers } from '../ledger/tables.ts'
import { attachedRow, attachmentBytes, compileRow, type RowCoder } from '../rowFields.ts'
import { drawsHash, entriesHash, isBoundedCredit } from './attributionCredit.ts'
import {
  type Applied,
  codeBytes32,
  defineNative,
  doorLog,
  failure,
  invalid,
  type NativeContext,
  type Rejection,
  takeValue,
} from './nativeType.ts'
import { addPrepaid } from './transfer.ts'
import { REFUSED, type Verdict } from './verdict.ts'

export const disputedEvent = parseAbiItem(
  'event Disputed(address indexed worker, uint32 indexed creditIndex, address indexed challenger, uint8 kind, uint8 upheld, bytes32 reason, uint96 slashed, uint96 reward)',
)

const parameters = parseAbiParameters(
  'uint8 kind, address worker, uint32 creditIndex, (address client, uint96 amount)[] drawn, uint32[] accounts, uint48[] amountsGwei, bytes evidence, bytes opened',
)
type DisputeFields = FieldsOf<typeof parameters>

/** A false attribution costs at least so many times the fee of its receipt, if the stake has it. */
const ATTRIBUTION_FEES = 20n

export const creditDispute = defineNative({
  byte: TX_TYPE.creditDispute,
  name: 'CreditDispute',
  door: DOOR.credits,
  functionName: 'dispute',
  payable: true,
  parameters,
  structNames: { drawn: 'Drawn' },
  row: compileRow(parameters, { evidence: attachedRow, opened: attachedRow }) as RowCoder<DisputeFields>,
  attached: ['evidence', 'opened'],

  records: ({ drawn, accounts }) => 13 + 3 * LIMIT.datanetsPerModel + drawn.length + 2 * accounts.length,

  itemGas: ({ drawn, accounts, evidence, opened }) =>
    NATIVE_GAS.dispute +
    NATIVE_GAS.perDrawn * BigInt(drawn.length) +
    NATIVE_GAS.perEntry * BigInt(accounts.length) +
    NATIVE_GAS.perEvidenceByte * BigInt(attachmentBytes(evidence) + attachmentBytes(opened)),

  check({ kind, drawn, accounts, amountsGwei }) {
    if (kind < DISPUTE_KIND.equivocation || kind > DISPUTE_KIND.wrongAttribution) return invalid('unknownKind', { kind })
    return isBoundedCredit(drawn.length, accounts.length) && accounts.length === amountsGwei.length ? undefined : invalid('badEntries')
  },

  apply(ledger, context, fields) {
    const { params, timeSec } = context
    const refused = takeValue(ledger, context, params.disputeBondWei)
    if (refused) return refused
    const found = openCase(ledger, context, fields)
    if ('code' in found) return found
    const maturesAt = maturityOf(ledger, found.credit.epoch, params)
    if (timeSec >= maturesAt) return failure('matured', { maturesAt, now: timeSec })
    if (context.stated) return applyStated(ledger, context, { about: found, fields, stated: context.stated })
    const judgement = judge(found, fields)
    if (!judgement.upheld) return refuse(ledger, context, fields, judgement.code)
    const entries = judgement.change === 'void' ? undefined : changedEntries(found, judgement.change)
    return uphold(ledger, context, { about: found, fields, feeWei: judgement.feeWei, entries })
  },
})

/** The credit with all that a judgement may look at. */
function openCase(ledger: Ledger, { params }: NativeContext, fields: DisputeFields): Case | Rejection {
  const { worker, creditIndex, drawn, accounts, amountsGwei } = fields
  const credit = credits.get(ledger, { worker, creditIndex })
  if (!credit) return failure('unknownCredit', { worker, creditIndex })
  if (disputes.get(ledger, { worker, creditIndex })) return failure('alreadyUpheld', { worker, creditIndex })
  const isShown = entriesHash({ accounts, amountsGwei }) === credit.entriesHash && drawsHash(drawn) === credit.drawsHash
  if (!isShown) return failure('otherEntries')
  const model = models.get(ledger, { modelId: credit.modelId })
  assert(model, 'a credit names a model that is not there')
  const entriesGwei = new Map(accounts.map((account, i) => [account, BigInt(amountsGwei[i] ?? 0)]))
  return { ledger, chainId: params.chainId, worker, creditIndex, credit, model, drawn, entriesGwei }
}

function judge(about: Case, { kind, evidence, opened }: DisputeFields): Judgement {
  const bytes = hexToBytes(evidence)
  if (kind === DISPUTE_KIND.equivocation) return judgeEquivocation(about, bytes)
  if (kind === DISPUTE_KIND.badLeaf) return judgeBadLeaf(about, bytes)
  if (kind === DISPUTE_KIND.doubleUse) return judgeDoubleUse(about, bytes)
  if (kind === DISPUTE_KIND.wrongBooks) return judgeBooks(about, bytes)
  return judgeAttribution(about, bytes, hexToBytes(opened))
}

/** The evidence shows nothing: the bond goes to the treasury, and the credit stands. */
function refuse(ledger: Ledger, { params, sender }: NativeContext, fields: DisputeFields, code: string): Applied {
  addBalance(ledger, TREASURY, params.disputeBondWei)
  return { ok: true, logs: [told(sender, fields, { upheld: 0, reason: codeBytes32(code), slashed: 0n, reward: 0n })], verdict: REFUSED }
}

/** The credit, the fee of the receipt whose attribution is false, and what its entries are from now on; undefined: it is void. */
type Case57 = {
  readonly about: Case
  readonly fields: DisputeFields
  readonly feeWei: bigint
  readonly entries: ReadonlyMap<number, bigint> | undefined
}

/** What follows from a verdict that nobody judges here. Source: contracts/fraud/steps/DisputeStep.sol */
function applyStated(
  ledger: Ledger,
  context: NativeContext,
  { about, fields, stated }: Pick<Case57, 'about' | 'fields'> & { readonly stated: Verdict },
): Applied {
  if (stated.kind === 'refused') return refuse(ledger, context, fields, 'stated')
  if (stated.kind === 'void') return uphold(ledger, context, { about, fields, feeWei: stated.feeWei, entries: undefined })
  const named = statedEntries(about, stated.changes)
  return named.ok ? uphold(ledger, context, { about, fields, feeWei: stated.feeWei, entries: named.entries }) : named
}

function uphold(ledger: Ledger, { params, sender, timeSec }: NativeContext, { about, fields, feeWei, entries }: Case57): Applied {
  const { worker, creditIndex, kind } = fields
  const before = partsOf(about, about.entriesGwei)
  const now = entries ? partsOf(about, entries) : new Map<number, bigint>()
  // Nothing of an epoch is claimed before its disputes end, so it is all there; a claim that was not to be would still not be reversed.
  const verdict = verdictOf(about, feeWei, entries)
  if (!replaceEarnings(ledger, about.credit.epoch, { before, now })) return failure('alreadyClaimed', { verdict })
  if (!entries) for (const { client, amount } of about.drawn) addPrepaid(ledger, client, amount)
  const slashed = slash(ledger, fields, {
    bps: slashBps(params, kind),
    leastWei: kind === DISPUTE_KIND.wrongAttribution ? ATTRIBUTION_FEES * feeWei : 0n,
  })
  const reward = (slashed * BigInt(params.challengerBps)) / BigInt(BPS)
  addBalance(ledger, sender, params.disputeBondWei + reward)
  addBalance(ledger, TREASURY, slashed - reward)
  const toContributors = [...(entries?.values() ?? [])].reduce((sum, amount) => sum + amount * ENTRY_WEI, 0n)
  disputes.put(ledger, { worker, creditIndex }, { challenger: sender, kind, slashed, toContributors, atSec: timeSec })
  return { ok: true, logs: [told(sender, fields, { upheld: 1, reason: codeBytes32(''), slashed, reward })], verdict }
}

/** What of the judgement L1 cannot find by itself. */
function verdictOf({ entriesGwei }: Case, feeWei: bigint, entries: ReadonlyMap<number, bigint> | undefined): Verdict {
  if (!entries) return { kind: 'void', feeWei }
  const changed = [...entries].filter(([account, amount]) => amount !== (entriesGwei.get(account) ?? 0n)).sort(([a], [b]) => a - b)
  return { kind: 'entries', feeWei, changes: changed.map(([account, amount]) => ({ account, amountGwei: Number(amount) })) }
}

function slashBps(params: ChainParams, kind: number): number {
  if (kind === DISPUTE_KIND.equivocation) return params.slashEquivocationBps
  if (kind === DISPUTE_KIND.wrongBooks) return params.slashWrongSumBps
  if (kind === DISPUTE_KIND.wrongAttribution) return params.slashAttributionBps
  return params.slashBadLeafBps
}

/** Takes from what the worker has at stake, first from what is about to leave. Returns how much, in wei. */
function slash(ledger: Ledger, { worker }: Pick<DisputeFields, 'worker'>, { bps, leastWei }: { bps: number; leastWei: bigint }): bigint {
  const known = workers.get(ledger, { worker })
  assert(known, 'a credit names a worker that is not there')
  const atStake = known.stake + known.unbonding
  const wanted = (atStake * BigInt(bps)) / BigInt(BPS)
  const due = wanted > leastWei ? wanted : leastWei
  const slashed = due < atStake ? due : atStake
  const ofUnbonding = slashed < known.unbonding ? slashed : known.unbonding
  const unbonding = known.unbonding - ofUnbonding
  const unlockAt = unbonding === 0n ? 0n : known.unlockAt
  workers.put(ledger, { worker }, { ...known, stake: known.stake - (slashed - ofUnbonding), unbonding, unlockAt })
  return slashed
}

function told(
  challenger: `0x${string}`,
  { worker, creditIndex, kind }: DisputeFields,
  outcome: { readonly upheld: 0 | 1; readonly reason: `0x${string}`; readonly slashed: bigint; readonly reward: bigint },
) {
  return doorLog(DOOR.credits, disputedEvent, { worker, creditIndex, challenger, kind, ...outcome })
}
