/** The first half of the loop: a datanet with its licence, uploads of three contributors, the curator's review, and the snapshot of what was accepted. */
import { type Hex, keccak256, parseEther, parseEventLogs, stringToBytes } from 'viem'
import type { SnapshotRecord } from '../../execution/attribution/attribute.ts'
import { snapshotRoot } from '../../execution/attribution/commitment.ts'
import type { Source } from '../../execution/attribution/shares.ts'
import { LICENCE } from '../../execution/native/datanetCreate.ts'
import { CONTRIBUTOR_ROLE, UPLOAD_STATUS } from '../../execution/native/datanetUpload.ts'
import { datanetsDoorAbi } from '../../execution/native/doorAbi.ts'
import { BPS } from '../../genesis/params.ts'
import { type Commitment, commitRecords, type DataRecord, readRecords } from './records.ts'
import { openOf, percentOf, type Screen } from './screen.ts'
import { expectThat, included, type Person, type Stage } from './stage.ts'
import { wordsOf } from './words.ts'

/** Who brings which texts: packages that are installed wherever the demo runs. */
const PACKAGES: readonly (readonly string[])[] = [
  ['abstract-level', 'classic-level', 'level'],
  ['@noble/curves', '@noble/hashes', 'hash-wasm', 'secp256k1'],
  ['viem', '@ethereumjs/vm', '@ethereumjs/evm', '@ethereumjs/tx'],
]

/** Training and selling are granted, and naming the contributors is asked for; weights may not be given away. */
export const DEMO_LICENCE = LICENCE.train | LICENCE.commercialUse | LICENCE.attribution

/** Lost to the treasury by who uploads what is not accepted. */
const UPLOAD_BOND_WEI = parseEther('1')

/** Why an upload is rejected: the datanet's own list of reasons. */
const REASON_COPIED = 2

const SCHEMA = 'UTF-8 text, at most 16 KiB a record; leaves of docs/spec/attribution.md'

/** An upload as its uploader knows it. */
type Offer = {
  readonly uploader: Person
  readonly records: readonly DataRecord[]
  readonly commitment: Commitment
  readonly contributors: readonly { readonly account: Hex; readonly shareBps: number; readonly role: number }[]
}

type Uploaded = Offer & { readonly uploadIndex: number }

/** An accepted upload. */
export type Accepted = Uploaded & { readonly qualityBps: number }

/** What a model is made from: the records of the accepted uploads, in the order in which they were registered. */
export type Snapshot = {
  readonly datanetId: number
  readonly uploads: readonly Accepted[]
  /** Uploads that the datanet had, judged either way. */
  readonly uploadCount: number
  readonly root: Hex
  readonly texts: readonly string[]
  /** The texts by their places, as attribution takes them. */
  readonly records: readonly SnapshotRecord[]
  /** Who is paid for the records of each upload, by its index. */
  readonly sources: ReadonlyMap<number, Source>
}

/** Creates the datanet, fills it and has it reviewed. */
export async function fillDatanet(stage: Stage, screen: Screen): Promise<Snapshot> {
  const offers = makeOffers(stage)
  for (const { uploader, records, commitment } of offers.slice(0, PACKAGES.length)) {
    const from = [...new Set(records.map((record) => record.from))]
    const { recordCount, byteCount, contentRoot, contentId } = commitment
    screen.step('records', `${uploader.role}: ${recordCount} records, ${byteCount} bytes, cut from ${from.join(', ')}`, {
      contributor: uploader.address,
      from,
      recordCount,
      byteCount,
      contentRoot,
      contentId,
    })
  }
  const datanetId = await createDatanet(stage, screen)
  const accepted = await review(stage, screen, datanetId, await upload(stage, screen, datanetId, offers))
  return takeSnapshot(stage, screen, datanetId, accepted, offers.length)
}

/** Three uploads of own texts, the second one shared by who cleaned and labelled it, and a last one that is a copy of the first. */
function makeOffers({ contributors }: Stage): readonly Offer[] {
  const [storage, cryptography, ethereum] = contributors
  const offer = (uploader: Person, records: readonly DataRecord[], parts: Offer['contributors'] = []): Offer => {
    expectThat(records.length > 0, `${uploader.role}: none of the packages is installed`)
    const whole = [{ account: uploader.address, shareBps: BPS, role: CONTRIBUTOR_ROLE.collected }]
    return { uploader, records, commitment: commitRecords(records, uploader.address), contributors: parts.length === 0 ? whole : parts }
  }
  const [first = [], second = [], third = []] = PACKAGES.map(readRecords)
  return [
    offer(storage, first),
    offer(cryptography, second, [
      { account: cryptography.address, shareBps: 7_000, role: CONTRIBUTOR_ROLE.collected },
      { account: storage.address, shareBps: 2_000, role: CONTRIBUTOR_ROLE.cleaned },
      { account: ethereum.address, shareBps: 1_000, role: CONTRIBUTOR_ROLE.labelled },
    ]),
    offer(ethereum, third),
    offer(ethereum, first),
  ]
}

async function createDatanet(stage: Stage, screen: Screen): Promise<number> {
  const { client, owner } = stage
  const hash = await client.createDatanet({
    account: owner.account,
    name: 'Manuals of installed packages',
    licence: DEMO_LICENCE,
    schemaHash: keccak256(stringToBytes(SCHEMA)),
    uploadBond: UPLOAD_BOND_WEI,
  })
  const [created] = parseEventLogs({ abi: datanetsDoorAbi, eventName: 'DatanetCreated', logs: (await included(stage, hash)).logs })
  expectThat(created !== undefined, 'creating a datanet left no log')
  const { datanetId } = created.args
  const sentence = `datanet ${datanetId}: may be trained on and sold, contributors must be named; an upload stakes ${openOf(UPLOAD_BOND_WEI)} OPEN`
  screen.step('datanet', sentence, {
    datanetId,
    owner: owner.address,
    licence: DEMO_LICENCE,
    uploadBondWei: UPLOAD_BOND_WEI,
    transaction: hash,
  })
  return datanetId
}

/** Sends the uploads, each when the one before it is in a block: the earliest record of a text is the one that is paid. */
async function upload(stage: Stage, screen: Screen, datanetId: number, offers: readonly Offer[]): Promise<Uploaded[]> {
  const uploads: Uploaded[] = []
  for (const offer of offers) {
    const { uploader, commitment, contributors } = offer
    const { contentRoot, contentId, recordCount, byteCount } = commitment
    const fields = { datanetId, contentRoot, contentId, recordCount, byteCount, contributors }
    const hash = await stage.client.uploadToDatanet({ account: uploader.account, ...fields })
    const { logs } = await included(stage, hash)
    const [uploaded] = parseEventLogs({ abi: datanetsDoorAbi, eventName: 'Uploaded', logs })
    expectThat(uploaded !== undefined, 'an upload left no log')
    const { uploadIndex } = uploaded.args
    const parts = contributors.length > 1 ? `, shared: ${contributors.map(partOf).join(', ')}` : ''
    const facts = { datanetId, uploadIndex, uploader: uploader.address, contributors, transaction: hash }
    screen.step('upload', `upload ${uploadIndex} by the ${uploader.role}${parts}`, facts)
    uploads.push({ ...offer, uploadIndex })
  }
  return uploads
}

function partOf({ shareBps, role }: Offer['contributors'][number]): string {
  const name = Object.entries(CONTRIBUTOR_ROLE).find(([, number]) => number === role)?.[0]
  return `${name} ${percentOf(shareBps)}`
}

/** The curator's judgement of every upload, in one go. */
async function review(stage: Stage, screen: Screen, datanetId: number, offers: readonly Uploaded[]): Promise<Accepted[]> {
  const { client, owner } = stage
  const accepted: Accepted[] = []
  const sent: { readonly hash: Hex; readonly sentence: string; readonly facts: Readonly<Record<string, unknown>> }[] = []
  for (const offer of offers) {
    const { uploadIndex, records } = offer
    const onChain = await client.getUpload({ datanetId, uploadIndex })
    expectThat(onChain?.contentRoot === rootOf(offer), `upload ${uploadIndex} commits to other records`)
    const copied = copiedFrom(accepted, offer)
    const qualityBps = qualityOf(records)
    const isCopy = copied > 0
    const judgement = isCopy ? ({ verdict: 'reject', reason: REASON_COPIED } as const) : ({ verdict: 'accept', qualityBps } as const)
    const hash = await client.reviewUpload({ account: owner.account, datanetId, uploadIndex, ...judgement })
    const sentence = isCopy
      ? `rejected, reason ${REASON_COPIED}: ${copied} of its ${records.length} records are another's; its bond is lost`
      : `accepted with quality ${percentOf(qualityBps)}`
    sent.push({
      hash,
      sentence: `upload ${uploadIndex} ${sentence}`,
      facts: { datanetId, uploadIndex, copied, ...judgement, transaction: hash },
    })
    if (!isCopy) accepted.push({ ...offer, qualityBps })
  }
  for (const { hash, sentence, facts } of sent) {
    await included(stage, hash)
    screen.step('review', sentence, facts)
  }
  return accepted
}

/** What the upload's root must be, from the bytes. */
function rootOf({ records, uploader }: Offer): Hex {
  return commitRecords(records, uploader.address).contentRoot
}

function copiedFrom(accepted: readonly Accepted[], offer: Offer): number {
  const known = new Set(
    accepted.filter(({ uploader }) => uploader !== offer.uploader).flatMap(({ records }) => records.map(({ text }) => text)),
  )
  return offer.records.filter(({ text }) => known.has(text)).length
}

/** A simple measure of how much of the text is language: characters of words among all that are not blank. */
function qualityOf(records: readonly DataRecord[]): number {
  const count = (characters: (text: string) => number) => records.reduce((sum, { text }) => sum + characters(text), 0)
  const inWords = count((text) => wordsOf(text).join('').length)
  return Math.floor((BPS * inWords) / count((text) => text.replace(/\s+/g, '').length))
}

/** Reads back who is paid for what, and commits to it. */
async function takeSnapshot(
  { client }: Stage,
  screen: Screen,
  datanetId: number,
  uploads: readonly Accepted[],
  uploadCount: number,
): Promise<Snapshot> {
  const sources = new Map<number, Source>()
  const heads = []
  for (const { uploadIndex } of uploads) {
    const onChain = await client.getUpload({ datanetId, uploadIndex })
    expectThat(onChain?.status === UPLOAD_STATUS.accepted, `upload ${uploadIndex} is not accepted`)
    const { qualityBps, contributors } = onChain
    sources.set(uploadIndex, { qualityBps, contributors })
    heads.push({ uploadIndex, recordCount: onChain.recordCount, qualityBps, contentRoot: onChain.contentRoot })
  }
  const texts = uploads.flatMap(({ records }) => records.map(({ text }) => text))
  const root = snapshotRoot(heads)
  screen.step('snapshot', `snapshot of ${texts.length} records in ${uploads.length} accepted uploads: ${root}`, {
    datanetId,
    root,
    uploadCount,
    recordCount: texts.length,
  })
  const records = uploads.flatMap(({ uploadIndex, records: own }) =>
    own.map(({ text }, record) => ({ datanet: 0, uploadIndex, record, bytes: stringToBytes(text) })),
  )
  return { datanetId, uploads, uploadCount, root, texts, records, sources }
}
