/** Wrong batches of every kind that a proof of fraud can show, each posted behind the last good one. */
import type { Hex } from 'viem'
import type { Header } from '../../execution/block.ts'
import { accounts } from '../../execution/ledger/tables.ts'
import { creditDispute } from '../../execution/native/creditDispute.ts'
import { attach, type Row } from '../../execution/native/row.ts'
import { transfer } from '../../execution/native/transfer.ts'
import type { Tx } from '../../execution/tx.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import type { Batch } from '../../settlement/batch.ts'
import { decodeLane, type LaneRow } from '../../settlement/lane.ts'
import { CHAIN_ID } from '../consensus/fixtures.ts'
import { type Colluders, type Forgery, type Line, type Posted, withRows } from './colluders.ts'
import { addressOf, signNative, testAccounts } from './testChain.ts'

/** Nobody's account. */
export const THIEF: Hex = '0x00000000000000000000000000000000000bad00'

export type Fraud = {
  /** What the proof is called that it falls by. */
  readonly proof: RegExp
  /** Only in blobs. */
  readonly isOfBlobs?: true
  /** Posts the batch. */
  make(colluders: Colluders, da: 'blob' | 'calldata'): Promise<Posted>
}

/** Two blocks that are right: the first has deposits of L1, the second more rows than a group has. */
export async function makeBlocks(colluders: Colluders): Promise<void> {
  const to = addressOf(account(1))
  await colluders.deposit(to, 5n * OPEN_WEI)
  await colluders.deposit(to, 7n * OPEN_WEI)
  await colluders.build(await transfers(colluders, 3), { origin: {} })
  await colluders.build(await transfers(colluders, 16, 3))
}

/** So many transfers of the first test account, from this nonce on. */
export async function transfers({ chain }: Line, count: number, nonce = 0): Promise<Tx[]> {
  const made: Tx[] = []
  for (let i = 0; i < count; i++) {
    const fields = { kind: 0, to: addressOf(account(2 + (i % 4))), amount: BigInt(i + 1) }
    made.push(chain.decode(await signNative(account(0), { type: transfer, fields, nonce: BigInt(nonce + i), chainId: CHAIN_ID })))
  }
  return made
}

/** Every kind, by what is wrong. */
export const FRAUDS = {
  'a ledger in which a thief is rich, under a certificate': {
    proof: /^group 1 wrongRoot$/,
    make: (colluders, da) => colluders.post(forgeRobbed(colluders), { da }),
  },
  'a wrong root behind L1 info and deposits': {
    proof: /^group 0 wrongRoot$/,
    make: (colluders, da) =>
      colluders.post(
        colluders.forge((batch) => withRoot(batch, 0, robbed(colluders).root)),
        { da },
      ),
  },
  'a ledger that no group leads to': {
    proof: /^finalRoot$/,
    async make(colluders, da) {
      const rich = robbed(colluders)
      return colluders.post({ ...colluders.forge(undefined, committing(rich.root)), l1Record: rich.l1Record }, { da })
    },
  },
  'a ledger root before it that nobody came to': {
    proof: /^rootBefore$/,
    make: (colluders, da) => {
      const { root } = robbed(colluders)
      return colluders.post(
        colluders.forge((batch) => ({ ...batch, ledgerRootBefore: root })),
        { da },
      )
    },
  },
  'a deposit that nobody made': {
    proof: /^group 0 unknownDeposit$/,
    make: (colluders, da) =>
      colluders.post(
        colluders.forge((batch) => changeRows(batch, (rows) => rows.toSpliced(4, 0, rowOf(rows, { kind: 'deposit', index: 2n })))),
        { da },
      ),
  },
  'a deposit twice': {
    proof: /^group 0 wrongDeposit$/,
    make: (colluders, da) =>
      colluders.post(
        colluders.forge((batch) => changeRows(batch, (rows) => rows.toSpliced(4, 0, rowOf(rows, { kind: 'deposit', index: 1n })))),
        { da },
      ),
  },
  'a deposit left out': {
    proof: /^deposits$/,
    async make(colluders, da) {
      const line = await colluders.fork()
      await line.build(await transfers(line, 2), { origin: { deposits: 1 } })
      return line.post(line.forge(), { da })
    },
  },
  'a deposit behind a native row': {
    proof: /^order$/,
    make: (colluders, da) =>
      colluders.post(
        colluders.forge((batch) => changeRows(batch, (rows) => rows.toSpliced(3, 2, ...rows.slice(3, 5).reverse()))),
        { da },
      ),
  },
  'a row that is none': {
    proof: /^rows 0$/,
    make: (colluders, da) => colluders.post(changeByte(colluders.forge(), FIRST_ROW_AT), { da }),
  },
  'an amount other than what was signed': {
    proof: /^group 1 (nonceTooHigh|insufficientFunds|wrongRoot)$/,
    make: (colluders, da) =>
      colluders.post(
        colluders.forge((batch) => changeRows(batch, raised)),
        { da },
      ),
  },
  'a ledger in which a thief is rich, behind a dispute whose evidence stands in a tail that is none': {
    proof: /^group 2 wrongRoot$/,
    async make(colluders, da) {
      const { line, rich } = await disputed(colluders)
      const { payload, ...forgery } = line.forge((batch) => withRoot(batch, -1, rich.root), committing(rich.root))
      return line.post({ ...changeByte({ ...forgery, payload }, payload.length - 1), l1Record: rich.l1Record }, { da })
    },
  },
  'a ledger in which a thief is rich, behind a verdict that no evidence bears': {
    proof: /^group 2 wrongRoot$/,
    async make(colluders, da) {
      const { line, rich } = await disputed(colluders)
      const forgery = line.forge((batch) => changeRows(withRoot(batch, -1, rich.root), misjudged), committing(rich.root))
      return line.post({ ...forgery, l1Record: rich.l1Record }, { da })
    },
  },
  'a head that contradicts itself': {
    proof: /^head$/,
    make: (colluders, da) => colluders.post(changeByte(colluders.forge(), VERSION_AT), { da }),
  },
  'an index that is not behind its predecessor': {
    proof: /^index$/,
    make: (colluders, da) => colluders.post(changeByte(colluders.forge(), INDEX_END), { da }),
  },
  'a byte behind the payload': {
    proof: /^padding \d+$/,
    isOfBlobs: true,
    make: (colluders) =>
      colluders.post(colluders.forge(), { da: 'blob', spoil: ([blob]) => blob?.fill(1, 32 * 4_000 + 5, 32 * 4_000 + 6) }),
  },
  'an element of a blob that is none of a payload': {
    proof: /^element 100$/,
    isOfBlobs: true,
    make: (colluders) => colluders.post(colluders.forge(), { da: 'blob', spoil: ([blob]) => blob?.fill(1, 32 * 100, 32 * 100 + 1) }),
  },
} as const satisfies Readonly<Record<string, Fraud>>

/** Nothing but a verdict is wrong, in group 1, which L1 cannot be shown. Posts the batch, of three blocks. */
export async function postMisjudged(colluders: Colluders): Promise<Posted> {
  const { line } = await disputed(colluders)
  for (const _ of [2, 3]) await line.build([])
  return line.post(line.forge((batch) => changeRows(batch, misjudged)))
}

/** A line of its own, of one block with a dispute of a credit that nobody gave, which stands alone in group 1; and what a thief makes of its ledger. */
async function disputed(colluders: Colluders) {
  const line = await colluders.fork()
  const fields = { kind: 1, worker: THIEF, creditIndex: 0, drawn: [], accounts: [], amountsGwei: [], evidence: '0x0102', opened: '0x03' }
  const raw = await signNative(account(0), { type: creditDispute, fields, nonce: 2n, chainId: CHAIN_ID })
  await line.build([...(await transfers(line, 2)), line.chain.decode(raw), ...(await transfers(line, 3, 3))], { origin: {} })
  return { line, rich: robbed(line) }
}

/** Disputes are upheld. */
function misjudged(rows: readonly LaneRow[]): LaneRow[] {
  return rows.map((one) => ('verdict' in one.row ? { ...one, row: { ...one.row, verdict: { kind: 'void', feeWei: 1n } } } : one))
}

const VERSION_AT = 0
const INDEX_END = 8
/** The head of the first row. */
const FIRST_ROW_AT = 186

function account(index: number) {
  const found = testAccounts[index]
  if (!found) throw new Error('there are eight test accounts')
  return found
}

/** The batch as it should be, but that it ends with a ledger in which a thief is rich: after its last group, or where it has none from the first. */
export function forgeRobbed(line: Line): Forgery {
  const { root, l1Record } = robbed(line)
  const change = (batch: Batch) => (batch.ledgerRoots.length > 0 ? withRoot(batch, -1, root) : { ...batch, ledgerRootBefore: root })
  return { ...line.forge(change, committing(root)), l1Record }
}

/** The ledger as it is, but for what a thief has. */
function robbed(line: Line) {
  const record = accounts.encode({ index: 0, balance: 1_000_000n * OPEN_WEI, prepaid: 0n, unlockAt: 0n, nonce: 0n })
  return line.forgedLedger({ table: accounts.number, id: accounts.encodeId({ account: THIEF }), record })
}

function committing(root: Hex): (header: Header) => Header {
  return (header) => ({ ...header, withdrawalsRoot: root })
}

function withRoot(batch: Batch, group: number, root: Hex): Batch {
  return { ...batch, ledgerRoots: batch.ledgerRoots.with(group, root) }
}

function changeRows(batch: Batch, change: (rows: LaneRow[]) => LaneRow[]): Batch {
  const firsts = batch.lane.places.map(({ firstByte }) => firstByte)
  const rows = decodeLane(batch.lane.bytes, firsts, CHAIN_ID)?.groups.flat()
  if (!rows) throw new Error('a batch that is right has a lane')
  const behind = { bytes: batch.lane.attachments, at: 0, end: batch.lane.attachments.length }
  return withRows(batch, change(rows.map((one) => ({ ...one, row: attach(one.row, behind) }))))
}

function rowOf([first]: readonly LaneRow[], row: Row): LaneRow {
  return { row, block: first?.block ?? 0n, txIndex: undefined, checked: undefined }
}

/** The last row sends more. */
function raised(rows: LaneRow[]): LaneRow[] {
  const last = rows.at(-1)
  if (last?.row.kind !== 'native') throw new Error('the last row is a transfer')
  const { native } = last.row
  return [...rows.slice(0, -1), { ...last, row: { kind: 'native', native: { ...native, fields: { ...native.fields, amount: 999n } } } }]
}

function changeByte<T extends { readonly payload: Uint8Array }>(forgery: T, at: number): T {
  return { ...forgery, payload: forgery.payload.with(at, (forgery.payload[at] ?? 0) ^ 1) }
}
