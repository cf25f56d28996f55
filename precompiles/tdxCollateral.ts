/**
 * Collateral of Intel TDX: what Intel publishes about its platforms, by which a quote is judged. It lies on chain as the code of an account that cannot
 * run, so anybody can put it there: all of it is signed. Wire: 0x00 · version u8 = 1 · seven parts, each length u16 · bytes: root CA's
 * revocation list (DER) · PCK CA's revocation list (DER) · TCB signing certificate (DER) · TCB info (JSON, as it was signed) · signature 64 · QE
 * identity (JSON, as it was signed) · signature 64. Source of the JSON: Intel, "PCS API v4". Spec: docs/spec/receipts.md#attestation
 */
import { hexToBytes, isHex } from 'viem'
import { attempt, decodeUtf8, malformed, take, takeUint } from '../execution/fields.ts'
import { secondsOf } from './der.ts'
import { type Certificate, decodeCertificate, decodeRevocationList, type RevocationList, type Validity } from './x509.ts'

/** The parts as they lie on chain. */
export type CollateralParts = {
  readonly rootCrl: Uint8Array
  readonly pckCrl: Uint8Array
  readonly tcbSigner: Uint8Array
  readonly tcbInfo: Uint8Array
  readonly tcbInfoSignature: Uint8Array
  readonly qeIdentity: Uint8Array
  readonly qeIdentitySignature: Uint8Array
}

/** The parts, read as far as one can before the signatures are known to be good. */
export type Collateral = Pick<CollateralParts, 'tcbInfo' | 'tcbInfoSignature' | 'qeIdentity' | 'qeIdentitySignature'> & {
  readonly rootCrl: RevocationList
  readonly pckCrl: RevocationList
  readonly tcbSigner: Certificate
}

/** A level of a component: the least versions that it asks for, and what Intel thinks of who has them. */
type Level = { readonly status: string }

export type PlatformLevel = Level & { readonly sgxSvns: readonly number[]; readonly tdxSvns: readonly number[]; readonly pceSvn: number }
export type SvnLevel = Level & { readonly isvSvn: number }

/** What a TDX module must say of itself. */
export type ModuleIdentity = { readonly mrSigner: Uint8Array; readonly attributes: Uint8Array; readonly attributesMask: Uint8Array }

export type TcbInfo = Validity & {
  /** Which technology, and which version of the format. */
  readonly format: string
  readonly fmspc: Uint8Array
  readonly pceId: Uint8Array
  readonly module: ModuleIdentity
  readonly moduleVersions: readonly (ModuleIdentity & { readonly id: string; readonly levels: readonly SvnLevel[] })[]
  readonly levels: readonly PlatformLevel[]
}

export type QeIdentity = Validity & {
  readonly format: string
  readonly miscSelect: Uint8Array
  readonly miscSelectMask: Uint8Array
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly levels: readonly SvnLevel[]
}

const VERSION = 1
const SIGNATURE_BYTES = 64
const PART_NAMES = ['rootCrl', 'pckCrl', 'tcbSigner', 'tcbInfo', 'tcbInfoSignature', 'qeIdentity', 'qeIdentitySignature'] as const

/** The code to deploy: at most 24,576 bytes of it are taken by the chain (EIP-170), and what Intel publishes needs 11,000. */
export function encodeCollateral(parts: CollateralParts): Uint8Array {
  const bytes = PART_NAMES.map((name) => parts[name])
  return Uint8Array.from([0, VERSION, ...bytes.flatMap((part) => [part.length >> 8, part.length & 0xff, ...part])])
}

/** Reads the code of an account; undefined if it is no collateral. */
export function decodeCollateral(code: Uint8Array): Collateral | undefined {
  const parts = attempt(() => {
    const cursor = { bytes: code, at: 0, end: code.length }
    if (takeUint(cursor, 2) !== VERSION) malformed()
    const taken = PART_NAMES.map((name) => [name, take(cursor, takeUint(cursor, 2))])
    if (cursor.at !== cursor.end) malformed()
    return Object.fromEntries(taken) as CollateralParts
  })
  if (!parts || [parts.tcbInfoSignature, parts.qeIdentitySignature].some(({ length }) => length !== SIGNATURE_BYTES)) return undefined
  const [rootCrl, pckCrl] = [decodeRevocationList(parts.rootCrl), decodeRevocationList(parts.pckCrl)]
  const tcbSigner = decodeCertificate(parts.tcbSigner)
  return rootCrl && pckCrl && tcbSigner && { ...parts, rootCrl, pckCrl, tcbSigner }
}

/** Reads TCB info whose signature is good; undefined if it is not of the form that this code knows. */
export function decodeTcbInfo(json: Uint8Array): TcbInfo | undefined {
  return attempt(() => {
    const info = parse(json)
    return {
      format: `${textOf(info, 'id')} ${numberOf(info, 'version')}`,
      ...validityOf(info),
      fmspc: hexOf(info, 'fmspc', 6),
      pceId: hexOf(info, 'pceId', 2),
      module: moduleOf(memberOf(info, 'tdxModule')),
      moduleVersions: listOf(info, 'tdxModuleIdentities').map((one) => ({
        ...moduleOf(one),
        id: textOf(one, 'id'),
        levels: svnLevelsOf(one),
      })),
      levels: listOf(info, 'tcbLevels').map((level) => {
        const tcb = memberOf(level, 'tcb')
        const [sgxSvns, tdxSvns] = [svnsOf(tcb, 'sgxtcbcomponents'), svnsOf(tcb, 'tdxtcbcomponents')]
        return { sgxSvns, tdxSvns, pceSvn: numberOf(tcb, 'pcesvn'), status: textOf(level, 'tcbStatus') }
      }),
    }
  })
}

/** Reads a QE identity whose signature is good; undefined if it is not of the form that this code knows. */
export function decodeQeIdentity(json: Uint8Array): QeIdentity | undefined {
  return attempt(() => {
    const identity = parse(json)
    return {
      format: `${textOf(identity, 'id')} ${numberOf(identity, 'version')}`,
      ...validityOf(identity),
      miscSelect: hexOf(identity, 'miscselect', 4),
      miscSelectMask: hexOf(identity, 'miscselectMask', 4),
      attributes: hexOf(identity, 'attributes', 16),
      attributesMask: hexOf(identity, 'attributesMask', 16),
      mrSigner: hexOf(identity, 'mrsigner', 32),
      isvProdId: numberOf(identity, 'isvprodid'),
      levels: svnLevelsOf(identity),
    }
  })
}

function validityOf(value: unknown): Validity {
  return { fromSec: secondsOf(textOf(value, 'issueDate')), untilSec: secondsOf(textOf(value, 'nextUpdate')) }
}

function moduleOf(value: unknown): ModuleIdentity {
  return {
    mrSigner: hexOf(value, 'mrsigner', 48),
    attributes: hexOf(value, 'attributes', 8),
    attributesMask: hexOf(value, 'attributesMask', 8),
  }
}

function svnLevelsOf(value: unknown): readonly SvnLevel[] {
  return listOf(value, 'tcbLevels').map((level) => ({
    isvSvn: numberOf(memberOf(level, 'tcb'), 'isvsvn'),
    status: textOf(level, 'tcbStatus'),
  }))
}

function svnsOf(tcb: unknown, name: string): readonly number[] {
  const svns = listOf(tcb, name).map((component) => numberOf(component, 'svn'))
  return svns.length === 16 ? svns : malformed()
}

function parse(json: Uint8Array): unknown {
  const text = decodeUtf8(json)
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) malformed()
    throw error
  }
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) malformed()
  return Object.getOwnPropertyDescriptor(value, name)?.value
}

function textOf(value: unknown, name: string): string {
  const member = memberOf(value, name)
  return typeof member === 'string' ? member : malformed()
}

function numberOf(value: unknown, name: string): number {
  const member = memberOf(value, name)
  return typeof member === 'number' && Number.isInteger(member) && member >= 0 && member <= 0xffff ? member : malformed()
}

function listOf(value: unknown, name: string): readonly unknown[] {
  const member = memberOf(value, name)
  return Array.isArray(member) ? member : malformed()
}

function hexOf(value: unknown, name: string, length: number): Uint8Array {
  const hex = `0x${textOf(value, name)}` as const
  return isHex(hex) && hex.length === 2 + 2 * length ? hexToBytes(hex) : malformed()
}
