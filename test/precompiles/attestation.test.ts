/** 0x…0a12 says of evidence the first rule that it breaks, in the order of docs/spec/receipts.md. */
import fc from 'fast-check'
import {
  concat,
  decodeFunctionResult,
  encodeFunctionData,
  type Hex,
  hexToBytes,
  keccak256,
  pad,
  stringToBytes,
  toHex,
  zeroHash,
} from 'viem'
import { expect, test } from 'vitest'
import { ATTESTATION_CODE, attestationVerifierAbi } from '../../execution/native/doorAbi.ts'
import type { Precompile } from '../../execution/precompile.ts'
import { OPENSSL_CURVES } from '../../node/opensslCurves.ts'
import { createAttestationVerifier } from '../../precompiles/0a12-attestation.ts'
import { PURE_CURVES } from '../../precompiles/curves.ts'
import { encodeCollateral } from '../../precompiles/tdxCollateral.ts'
import samples from '../vectors/tdx.json' with { type: 'json' }
import { callIn, createEmptyLedger } from './frame.ts'
import {
  CA,
  type Evidence,
  evidenceOf,
  extension,
  level,
  moduleVersion,
  NOW_SEC,
  PCK,
  type Plan,
  ROOT,
  STRANGER,
  sgxExtension,
  svnLevel,
  TCB_SIGNER,
} from './tdxChain.ts'

type Question = {
  readonly verifier: Precompile
  readonly quote: Uint8Array
  readonly collateralCode: Uint8Array
  readonly timeSec: bigint
  readonly kind: number
  readonly collateralId: Hex
}

const ACCOUNT: Hex = '0xc0de100000000000000000000000000000000001'
const ID = pad(ACCOUNT)

function ask({
  verifier,
  quote,
  collateralCode,
  timeSec = NOW_SEC,
  kind = 1,
  collateralId = ID,
}: Partial<Question> & Omit<Evidence, 'parts' | 'root'> & Pick<Question, 'verifier'>) {
  const data = encodeFunctionData({ abi: attestationVerifierAbi, functionName: 'attest', args: [kind, toHex(quote), collateralId] })
  const codeOf = (address: Hex) => (address === ACCOUNT ? collateralCode : new Uint8Array())
  const { result } = callIn(createEmptyLedger(), verifier, hexToBytes(data), { isStatic: true, timeSec, codeOf })
  if (result.kind !== 'return') throw new Error(`the verifier answered ${result.kind}`)
  const [code, measurement, reportData, validUntil] = decodeFunctionResult({
    abi: attestationVerifierAbi,
    functionName: 'attest',
    data: toHex(result.output),
  })
  return { code, measurement, reportData, validUntil, gasUsed: result.gasUsed }
}

const verifierOf = ({ root }: Evidence): Precompile => createAttestationVerifier(OPENSSL_CURVES, root)
const INTEL = createAttestationVerifier(OPENSSL_CURVES)
const NOTHING = { measurement: zeroHash, reportData: [zeroHash, zeroHash], validUntil: 0n }

function codeFor(plan: Partial<Plan>, timeSec = NOW_SEC): number {
  const evidence = evidenceOf(plan)
  return ask({ verifier: verifierOf(evidence), ...evidence, timeSec }).code
}

type Sample = (typeof samples.cases)[number]

function fromSample({ quote, tcbInfo, qeIdentity, ...parts }: Sample) {
  const bytes = (name: 'rootCrl' | 'pckCrl' | 'tcbSigner' | 'tcbInfoSignature' | 'qeIdentitySignature') => hexToBytes(parts[name] as Hex)
  const collateralCode = encodeCollateral({
    ...{ rootCrl: bytes('rootCrl'), pckCrl: bytes('pckCrl'), tcbSigner: bytes('tcbSigner') },
    ...{ tcbInfo: stringToBytes(tcbInfo), tcbInfoSignature: bytes('tcbInfoSignature') },
    ...{ qeIdentity: stringToBytes(qeIdentity), qeIdentitySignature: bytes('qeIdentitySignature') },
  })
  const timeSec = BigInt(Date.parse(JSON.parse(tcbInfo).issueDate) / 1000) + 86_400n
  return { verifier: INTEL, quote: hexToBytes(quote as Hex), collateralCode, timeSec }
}

test('quotes of real platforms are what Intel says of them', () => {
  const answers = samples.cases.map((sample) => {
    const question = fromSample(sample)
    const { gasUsed, ...answer } = ask(question)
    // Version 5 has six bytes more before the report.
    const report = question.quote.subarray(question.quote[0] === 5 ? 54 : 48)
    expect(answer.reportData).toEqual([toHex(report.subarray(520, 552)), toHex(report.subarray(552, 584))])
    expect(answer.measurement).toBe(keccak256(report.subarray(120, 520)))
    return [sample.status, answer.code, new Date(Number(answer.validUntil) * 1000).toISOString()]
  })
  expect(answers).toEqual([
    ['UpToDate', ATTESTATION_CODE.ok, '2025-07-19T10:00:35.000Z'],
    ['OutOfDate', ATTESTATION_CODE.tcbOutOfDate, '2026-03-20T10:41:15.000Z'],
  ])
})

test('a real quote is good from the day of its collateral to the last second of it', () => {
  const [sample] = samples.cases
  if (!sample) throw new Error('there is no sample')
  const question = fromSample(sample)
  const { validUntil } = ask(question)
  const codeAt = (timeSec: bigint) => ask({ ...question, timeSec }).code
  const issued = question.timeSec - 86_400n
  expect([codeAt(validUntil), codeAt(validUntil + 1n), codeAt(issued - 86_400n)]).toEqual([
    ATTESTATION_CODE.ok,
    ATTESTATION_CODE.collateralStale,
    ATTESTATION_CODE.collateralStale,
  ])
  expect(codeAt(0n)).toBe(ATTESTATION_CODE.certChain)
  expect(codeAt(2n ** 64n - 1n)).toBe(ATTESTATION_CODE.certChain)
})

test('no byte of a real quote can be another', () => {
  const [sample] = samples.cases
  if (!sample) throw new Error('there is no sample')
  const question = fromSample(sample)
  const end = question.quote.findLastIndex((byte) => byte !== 0)
  // The root at the chain's end is not read: whoever verifies has it. Neither are line ends, and the second CR of none.
  const rootFrom = new TextDecoder('latin1').decode(question.quote).lastIndexOf('-----BEGIN CERTIFICATE-----')
  const wrong = new Set<number>()
  const property = fc.property(fc.integer({ min: 0, max: rootFrom - 2 }), fc.integer({ min: 1, max: 255 }), (at, bits) => {
    const quote = question.quote.slice()
    quote[at] = (quote[at] ?? 0) ^ bits
    const isLineEnd = question.quote[at] === 10 || quote[at] === 10 || quote[at] === 13
    const { code } = ask({ ...question, quote })
    if (!isLineEnd) expect(code).not.toBe(ATTESTATION_CODE.ok)
    wrong.add(code)
  })
  fc.assert(property, { numRuns: 150 })
  const tail = question.quote.slice()
  tail[tail.length - 1] = 1
  expect(end).toBeLessThan(tail.length - 1)
  expect(ask({ ...question, quote: tail }).code).toBe(ATTESTATION_CODE.quoteFormat)
  expect(wrong.size).toBeGreaterThan(1)
})

test('a chain made here in the image of Intel’s is good under its own root, and under no other', () => {
  const evidence = evidenceOf()
  const verifier = verifierOf(evidence)
  const { gasUsed, ...answer } = ask({ verifier, ...evidence })
  expect(answer).toEqual({
    code: ATTESTATION_CODE.ok,
    measurement: keccak256(evidence.quote.subarray(168, 568)),
    reportData: [`0x${'aa'.repeat(32)}`, `0x${'bb'.repeat(32)}`],
    validUntil: BigInt(Date.parse('2026-03-01T00:00:00Z') / 1000),
  })
  expect(ask({ verifier: INTEL, ...evidence })).toMatchObject({ code: ATTESTATION_CODE.certChain, ...NOTHING })
  expect(ask({ verifier: createAttestationVerifier(PURE_CURVES, evidence.root), ...evidence })).toEqual({ ...answer, gasUsed })
  expect(gasUsed).toBe(250_300n + 3n * BigInt(evidence.quote.length) + 30n * BigInt(5 + Math.ceil(evidence.quote.length / 32)) + 60n * 5n)
})

test('what is asked wrongly has codes of its own', () => {
  const evidence = evidenceOf()
  const verifier = verifierOf(evidence)
  for (const kind of [0, 2, 3, 4, 255])
    expect(ask({ verifier, ...evidence, kind })).toMatchObject({ code: ATTESTATION_CODE.unknownKind, ...NOTHING })
  const long = new Uint8Array(16_385)
  expect(ask({ verifier, ...evidence, quote: long })).toMatchObject({ code: ATTESTATION_CODE.malformed, ...NOTHING })
  expect(ask({ verifier, ...evidence, collateralId: concat([ACCOUNT, '0x000000000000000000000000']) }).code).toBe(
    ATTESTATION_CODE.malformed,
  )
  expect(ask({ verifier, ...evidence, collateralId: zeroHash }).code).toBe(ATTESTATION_CODE.collateralFormat)
})

const OUT_OF_DATE = [svnLevel(9, 'UpToDate'), svnLevel(0, 'OutOfDate')]
const EARLY = '2026-02-02T00:00:00Z'
const LATE = '2026-01-31T00:00:00Z'
const critical = extension('550401', true, new Uint8Array([5, 0]))

/** What is unlike a good chain, by the code that it must have. */
const PLANS: Readonly<Partial<Record<keyof typeof ATTESTATION_CODE, Readonly<Record<string, Partial<Plan>>>>>> = {
  quoteFormat: {
    'version 3': { header: [[0, '0300']] },
    'attestation key on P-384': { header: [[2, '0300']] },
    SGX: { header: [[4, '00000000']] },
    'another vendor of the quoting enclave': { header: [[12, '00']] },
    'certificates elsewhere': { certificationType: 3 },
    'certificate of no form': { pck: { extensions: [sgxExtension(), critical] } },
    'an extension twice': { ca: { extensions: [sgxExtension(), sgxExtension()] } },
    'a body of another type than its length': { version: 5, next: '00'.repeat(63) },
  },
  certChain: {
    'platform key signed by a stranger': { pck: { signer: STRANGER } },
    'platform certificate in another name': { pck: { issuer: STRANGER.name } },
    'CA signed by a stranger': { ca: { signer: STRANGER } },
    'CA issued by itself': { ca: { signer: CA, issuer: CA.name } },
    'platform key signed by the signer of TCB info': { pck: { signer: TCB_SIGNER, issuer: TCB_SIGNER.name } },
    'CA that is none': { ca: { isCa: false } },
    'CA that may not issue': { ca: { keyUsage: 0xc2 } },
    'platform certificate of a CA': { pck: { isCa: true } },
    'platform certificate not valid yet': { pck: { from: EARLY } },
    'platform certificate over': { pck: { until: LATE } },
    'CA over': { ca: { until: LATE } },
    'certificate that names no platform': { pck: { extensions: [] } },
    'platform with a name too short': { pck: { extensions: [sgxExtension({ fmspc: '00906ed500' })] } },
  },
  collateralFormat: {
    'list cut short': { parts: { pckCrl: new Uint8Array(10) } },
    'signature too short': { parts: { tcbInfoSignature: new Uint8Array(63) } },
    'no signer': { parts: { tcbSigner: new Uint8Array() } },
    'levels that are no list': { tcbInfo: { tcbLevels: 'none' } },
    'fifteen components': { tcbInfo: { tcbLevels: [{ ...level(5, 'UpToDate'), tcb: { ...level(5, '').tcb, tdxtcbcomponents: [] } }] } },
    'date that is none': { qeIdentity: { nextUpdate: '2026-02-30T00:00:00Z' } },
    'mask too short': { qeIdentity: { attributesMask: 'FF' } },
  },
  collateralSig: {
    'signer issued by a stranger': { tcbSigner: { signer: STRANGER } },
    'signer issued by the PCK CA': { tcbSigner: { signer: CA, issuer: CA.name } },
    'signer that is a CA': { tcbSigner: { isCa: true } },
    'root list by a stranger': { rootCrl: { signer: STRANGER } },
    'root list by the PCK CA': { rootCrl: { signer: CA, issuer: CA.name } },
    'platform list by a stranger': { pckCrl: { signer: STRANGER } },
    'platform list by the root': { pckCrl: { signer: ROOT, issuer: ROOT.name } },
    'platform list by a platform': { pckCrl: { signer: PCK } },
    'CA that may not revoke': { ca: { keyUsage: 0x04 } },
    'TCB info of another signature': { parts: { tcbInfoSignature: new Uint8Array(64).fill(1) } },
    'QE identity of another signature': { parts: { qeIdentitySignature: new Uint8Array(64).fill(1) } },
    'QE identity that was changed': { parts: { qeIdentity: stringToBytes('{}') } },
  },
  collateralStale: {
    'TCB info over': { tcbInfo: { nextUpdate: LATE } },
    'TCB info of tomorrow': { tcbInfo: { issueDate: EARLY } },
    'QE identity over': { qeIdentity: { nextUpdate: LATE } },
    'QE identity of tomorrow': { qeIdentity: { issueDate: EARLY } },
    'signer over': { tcbSigner: { until: LATE } },
    'root list over': { rootCrl: { until: LATE } },
    'platform list over': { pckCrl: { until: LATE } },
    'platform list of tomorrow': { pckCrl: { from: EARLY } },
  },
  revoked: {
    'the platform': { pckCrl: { revoked: [5, 0x80f1, 7] } },
    'the PCK CA': { rootCrl: { revoked: [2] } },
    'the signer': { rootCrl: { revoked: [4] } },
    'the platform’s level': { tcbInfo: { tcbLevels: [level(5, 'Revoked')] } },
    'the module’s level': { tcbInfo: { tdxModuleIdentities: [moduleVersion('TDX_05', [svnLevel(0, 'Revoked')])] } },
    'the quoting enclave’s level': { qeIdentity: { tcbLevels: [svnLevel(0, 'Revoked')] } },
  },
  quoteSig: {
    'signed by another key': { attestationSigner: STRANGER },
    // Bytes enough that no hash of this run's keys has them already.
    'another attestation key': { qeReport: [[320, '00000000']] },
    'something behind the hash of the key': { qeReport: [[352, '01']] },
    'another key and the end of its hash': { qeReport: [[348, '00000000']] },
  },
  qeIdentity: {
    'another signer': { qeIdentity: { mrsigner: '00'.repeat(32) } },
    'another product': { qeIdentity: { isvprodid: 1 } },
    'other attributes': {
      qeReport: [
        [48, '15'],
        [50, '01'],
      ],
    },
    'open to a debugger': { qeReport: [[48, '13']], qeIdentity: { attributesMask: '00'.repeat(16) } },
    'other selected state': { qeReport: [[16, '01']] },
  },
  wrongCollateral: {
    'of another family': { tcbInfo: { fmspc: '00906ED50001' } },
    'of another PCE': { tcbInfo: { pceId: '0100' } },
    'of SGX': { tcbInfo: { id: 'SGX' } },
    'TCB info of version 2': { tcbInfo: { version: 2 } },
    'an enclave for SGX': { qeIdentity: { id: 'QE' } },
  },
  moduleIdentity: {
    'signed by another': { report: [[64, '01']] },
    'other attributes': { report: [[112, '01']] },
    'no such version': { tcbInfo: { tdxModuleIdentities: [] } },
    'attributes that no mask covers': {
      report: [[112, '01']],
      tcbInfo: { tdxModuleIdentities: [moduleVersion('TDX_05', [svnLevel(0, 'UpToDate')], { attributesMask: '00'.repeat(8) })] },
    },
  },
  tdAttributes: {
    'open to a debugger': { report: [[120, '01']] },
    profiled: { report: [[120, '10']] },
    migratable: { report: [[123, '30']] },
    'with a service TD': { report: [[122, '02']] },
    'a reserved bit': { report: [[124, '01']] },
    'SEPT_VE_DISABLE not set': { report: [[123, '00']] },
    'bound to a service TD': { version: 5, next: `${'05'.repeat(16)}${'00'.repeat(47)}01` },
  },
  tcbOutOfDate: {
    'an older CPU': { pck: { extensions: [sgxExtension({ cpuSvn: `02${'05'.repeat(15)}` })] } },
    'an older PCE': { pck: { extensions: [sgxExtension({ pceSvn: 10 })] } },
    'an older TDX': { report: [[15, '02']] },
    'an older module': { report: [[0, '04']] },
    'an older module of version 0': { report: [[0, '0400']] },
    'an older quoting enclave': { qeIdentity: { tcbLevels: OUT_OF_DATE } },
    'below all levels': { tcbInfo: { tcbLevels: [level(200, 'UpToDate')] } },
    'below all levels of the module': { tcbInfo: { tdxModuleIdentities: [moduleVersion('TDX_05', [svnLevel(200, 'UpToDate')])] } },
    'a module that is older now than at the start': { version: 5, next: `04${'05'.repeat(15)}${'00'.repeat(48)}` },
    'something to configure': { tcbInfo: { tcbLevels: [level(5, 'ConfigurationNeeded')] } },
    'something to harden': { tcbInfo: { tcbLevels: [level(5, 'SWHardeningNeeded')] } },
    'a word that nobody knows': { tcbInfo: { tcbLevels: [level(5, 'Splendid')] } },
  },
  ok: {
    'version 5 with a report of 1.0': { version: 5 },
    'version 5 with a report of 1.5': { version: 5, next: `${'05'.repeat(16)}${'00'.repeat(48)}` },
    'module of version 0': { report: [[1, '00']], tcbInfo: { tcbLevels: [level(0, 'UpToDate')], tdxModuleIdentities: [] } },
    'attributes that one may have': { report: [[120, '00000118000000c0']] },
    'others revoked': { pckCrl: { revoked: [2, 3, 4] }, rootCrl: { revoked: [0x80f1] } },
    'QE identity of version 3': { qeIdentity: { version: 3 } },
    'the module’s part left to its identity': { report: [[0, '05']], tcbInfo: { tcbLevels: [{ ...level(5, 'UpToDate') }] } },
  },
}

for (const [name, plans] of Object.entries(PLANS)) {
  test(`${name}: ${Object.keys(plans).join(', ')}`, () => {
    const got = Object.entries(plans).map(([what, plan]) => [what, codeFor(plan)])
    const want = ATTESTATION_CODE[name as keyof typeof ATTESTATION_CODE]
    expect(got).toEqual(Object.keys(plans).map((what) => [what, want]))
  })
}

test('every code but the one that contracts keep for themselves has a case', () => {
  const codes = Object.keys(ATTESTATION_CODE).filter((name) => !(name in PLANS))
  expect(codes).toEqual(['malformed', 'unknownKind', 'nonceStale'])
})

test('out of date, it still says what runs there: all else is proven', () => {
  const evidence = evidenceOf(PLANS.tcbOutOfDate?.['an older PCE'])
  expect(ask({ verifier: verifierOf(evidence), ...evidence })).toMatchObject({
    code: ATTESTATION_CODE.tcbOutOfDate,
    measurement: keccak256(evidence.quote.subarray(168, 568)),
    validUntil: BigInt(Date.parse('2026-03-01T00:00:00Z') / 1000),
  })
})

test('whatever the bytes, the verifier answers a code', () => {
  const evidence = evidenceOf()
  const verifier = verifierOf(evidence)
  const known = new Set<number>(Object.values(ATTESTATION_CODE))
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
  const bend = (bytes: Uint8Array, list: readonly (readonly [number, number])[], cut: number): Uint8Array => {
    const bent = bytes.slice(0, cut % 5 === 0 ? cut % (bytes.length + 1) : bytes.length)
    for (const [at, byte] of list) if (bent.length > 0) bent[at % bent.length] = byte
    return bent
  }
  const property = fc.property(fc.boolean(), changes, fc.nat(), (isQuote, list, cut) => {
    const quote = isQuote ? bend(evidence.quote, list, cut) : evidence.quote
    const collateralCode = isQuote ? evidence.collateralCode : bend(evidence.collateralCode, list, cut)
    const { code, measurement } = ask({ verifier, quote, collateralCode })
    expect(known.has(code)).toBe(true)
    if (code !== ATTESTATION_CODE.ok && code !== ATTESTATION_CODE.tcbOutOfDate) expect(measurement).toBe(zeroHash)
  })
  fc.assert(property, { numRuns: 200 })
})
