"""The ONNX graph: conversion from Keras, rewriting rules, and the input and output of a model file."""
